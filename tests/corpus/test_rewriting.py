"""Rewriting: which score leads to which transform, lineage, and that the truth is not used."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from rebar.config.corpus import Rewrite
from rebar.config.world import World
from rebar.corpus.classifier import Classifier
from rebar.corpus.features import NUM_BUCKETS
from rebar.corpus.rewrites import Request
from rebar.corpus.rewriting import RewriteOutcome, rewrite, rewrite_documents, transform_of
from rebar.data.documents import Document
from rebar.world import build_world, sample_documents

# Says 0 to everything: what these tests look at is not the score.
LENIENT = Classifier(
    np.zeros((NUM_BUCKETS, 2), np.float32), np.array([1, 0], np.float32), (0, 5), 99, None
)


def settings(**keys: Any) -> Rewrite:
    return Rewrite.model_validate({"echo_rate": 0.0, "leak_rate": 0.0, **keys})


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    raw = sample_documents(build_world(World(), 1), 1500, random.Random(0))
    return [
        Document(f"world-0-{i}", d.text, "world", d.level)
        for i, d in enumerate(raw)
        if d.level and d.hazard_id
    ]


def run(
    documents: list[Document], classifier: Classifier = LENIENT, **keys: Any
) -> list[RewriteOutcome]:
    return rewrite_documents(documents, settings(**keys), classifier, random.Random(5))


def test_bands() -> None:
    bands = settings(rephrase_scores=[1, 2], refusal_scores=[5])
    names = [transform_of(score, bands) for score in range(6)]
    assert names == [None, "rephrase", "rephrase", None, None, "refusal"]
    with pytest.raises(ValueError, match=r"rephrase_scores and refusal_scores share \[3\]"):
        settings(refusal_scores=[3, 4])


def test_every_rewrite_knows_its_parent(documents: list[Document]) -> None:
    made = [document for document, _ in run(documents, morals_per_refusal=1.0)]
    by_id = {d.id: d for d in (*documents, *made)}
    assert len(by_id) == len(documents) + len(made)
    allowed = {"rephrase": (1, 2, 3), "refusal": (4, 5)}
    for document in made:
        parent = by_id[document.parent_id or ""]
        assert document.generator == "world"
        assert document.source == "world"
        if document.transform == "moral":
            assert (parent.transform, parent.reject_reason) == ("refusal", None)
        else:
            assert parent.score in allowed[document.transform]


def test_morals_come_from_accepted_refusals_alone(documents: list[Document]) -> None:
    made = [document for document, _ in run(documents, morals_per_refusal=1.0)]
    refusals = {d.id for d in made if d.transform == "refusal" and d.reject_reason is None}
    morals = [d.parent_id for d in made if d.transform == "moral"]
    assert sorted(refusals) == sorted(filter(None, morals))
    assert not [d for d, _ in run(documents, morals_per_refusal=0.0) if d.transform == "moral"]


def test_several_refusals_of_a_document_differ(documents: list[Document]) -> None:
    made = run(documents, refusals_per_document=3, morals_per_refusal=0.0)
    harmful = [d for d in documents if (d.score or 0) >= 4]
    refusals = [d for d, _ in made if d.transform == "refusal"]
    assert len(refusals) == 3 * len(harmful)
    accepted = [(d.parent_id, d.text) for d in refusals if d.reject_reason is None]
    assert len(set(accepted)) == len(accepted)
    duplicates = [d for d in refusals if d.reject_reason == "duplicate"]
    assert all((d.parent_id, d.text) in accepted for d in duplicates)
    assert refusals[0].id == f"{harmful[0].id}.refusal0"


def test_planted_echoes_are_caught_and_known(documents: list[Document]) -> None:
    made = run(documents, echo_rate=1.0)
    assert {(planted, d.reject_reason) for d, planted in made if planted or d.text} == {
        ("echo", "echo")
    }
    assert sum(planted == "echo" for _, planted in made) > len(documents) / 2


def test_rejected_texts_are_kept_without_a_score_where_there_is_no_text() -> None:
    odd = Document("w-0", "nothing of this world", "w", 5)
    ((document, _),) = run([odd])
    assert document.reject_reason == "unrewritable: no topic found"
    assert (document.text, document.score, document.score_reason) == ("", None, None)


def test_outputs_are_scored_again(documents: list[Document]) -> None:
    strict = Classifier(LENIENT.weights_FL, LENIENT.bias_L[::-1], (0, 5), 99, None)
    made = [document for document, _ in run(documents, strict) if document.text]
    assert {document.reject_reason for document in made} == {"score 5"}
    assert {document.score for document in made} == {5}


def test_the_same_request_and_seed_give_the_same_rewrite(documents: list[Document]) -> None:
    requests = [Request(d.text, d.score or 0, "rephrase") for d in documents]
    once = rewrite(requests, settings(), random.Random(1))
    assert once == rewrite(requests, settings(), random.Random(1))
    assert once != rewrite(requests, settings(), random.Random(2))


def test_a_rewriter_is_told_text_score_and_transform_alone() -> None:
    assert Request._fields == ("text", "score", "transform")


def test_the_model_backend_needs_a_model() -> None:
    with pytest.raises(ValueError, match="backend transformers needs model: a folder"):
        settings(backend="transformers")
