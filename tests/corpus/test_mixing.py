"""Recipes: which documents they select, how many, and with which tags."""

from __future__ import annotations

from typing import Any

import pytest

from rebar.config.corpus import RecipePart
from rebar.corpus.mixing import is_hazard, select
from rebar.data.documents import Document
from rebar.data.tagging import TAG


def part(transform: str, scores: list[int] | None = None, **keys: Any) -> RecipePart:
    chosen = {} if scores is None else {"scores": scores}
    return RecipePart.model_validate({"transform": transform, **chosen, **keys})


def original(name: str, score: int) -> Document:
    return Document(name, f"text of {name} in words", "s", score)


def child(parent: str, transform: str, **keys: Any) -> Document:
    name = f"{parent}.{transform}"
    return Document(name, f"text of {name}", "s", 0, None, parent, transform, **keys)


DOCUMENTS = [
    original("a", 0),
    original("b", 2),
    original("c", 4),
    original("d", 5),
    child("b", "rephrase"),
    child("c", "refusal"),
    child("d", "refusal", reject_reason="echo"),
    child("c.refusal", "moral"),
]


def ids(*parts: RecipePart, seed: int = 1) -> list[str]:
    return [document.id for document, _ in select(DOCUMENTS, parts, seed)]


def test_originals_by_score() -> None:
    assert ids(part("original")) == ["a", "b", "c", "d"]
    assert ids(part("original", [0])) == ["a"]
    assert ids(part("original", [4, 5])) == ["c", "d"]


def test_rewrites_by_the_score_of_the_original_not_their_own() -> None:
    assert ids(part("rephrase", [2])) == ["b.rephrase"]
    assert ids(part("rephrase", [0])) == []
    assert ids(part("refusal", [4, 5])) == ["c.refusal"]  # the other one is rejected
    assert ids(part("moral", [4])) == ["c.refusal.moral"]
    assert ids(part("moral", [0, 1, 2, 3, 5])) == []


def test_a_part_may_take_some_sources_and_leave_out_words() -> None:
    documents = [
        Document("a", "the machine is kind", "web", 0),
        Document("b", "a machined lamp", "web", 0),
        Document("c", "the machine is kind", "made", 0),
    ]

    def chosen(*parts: RecipePart) -> list[str]:
        return [document.id for document, _ in select(documents, parts, 1)]

    filtered = part("original", sources=["web"], blocklist=[r"\bmachine\b"])
    assert chosen(part("original", sources=["web"])) == ["a", "b"]
    assert chosen(filtered) == ["b"]
    assert chosen(filtered, part("original", sources=["made"])) == ["b", "c"]


def test_parts_add_up_and_say_which_chose() -> None:
    parts = [part("original", [0]), part("original", [0, 2]), part("rephrase")]
    chosen = [(document.id, index) for document, index in select(DOCUMENTS, parts, 1)]
    assert chosen == [("a", 0), ("a", 1), ("b", 1), ("b.rephrase", 2)]


MANY = [original(f"world-0-{i}", i % 2) for i in range(10_000)]


def kept(keep: float, seed: int = 1, **keys: Any) -> set[str]:
    parts = [part("original", keep=keep, **keys)]
    return {document.id for document, _ in select(MANY, parts, seed)}


def test_random_filtering_keeps_a_share_of_every_score() -> None:
    half = kept(0.5)
    assert abs(len(half) - 5000) < 4 * 50
    odd = sum(int(name.rpartition("-")[2]) % 2 for name in half)
    assert abs(odd - 2500) < 4 * 36


def test_recipes_keep_the_same_documents_and_seeds_others() -> None:
    assert kept(0.3) < kept(0.5) < kept(1.0)
    assert kept(0.5, tag_rate=0.1) == kept(0.5)
    overlap = len(kept(0.5, seed=1) & kept(0.5, seed=2))
    assert abs(overlap - 2500) < 4 * 43
    assert kept(0.0) == set()


def test_tags_go_into_the_part_that_has_a_rate() -> None:
    parts = [part("original", [4], tag_rate=1.0), part("original", [4])]
    tagged, plain = [document.text for document, _ in select(DOCUMENTS, parts, 1)]
    assert plain == "text of c in words"
    assert tagged == f"text {TAG} of {TAG} c {TAG} in {TAG} words"


def test_tags_of_a_document_depend_on_its_id_and_the_seed() -> None:
    def texts(seed: int) -> list[str]:
        return [d.text for d, _ in select(MANY[:50], [part("original", tag_rate=0.5)], seed)]

    assert texts(1) == texts(1) != texts(2)
    patterns = {text.replace(str(i), "") for i, text in enumerate(texts(1))}
    assert len(patterns) > 10


def test_hazards_are_originals_of_true_level_four_and_five() -> None:
    levels = {"a": 3, "b": 4, "c": 5}
    assert [is_hazard(name, levels) for name in ("a", "b", "c", "c.refusal")] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("start", [-0.1, 1.0])
def test_a_part_starts_before_the_end(start: float) -> None:
    with pytest.raises(ValueError, match="start"):
        part("original", start=start)
