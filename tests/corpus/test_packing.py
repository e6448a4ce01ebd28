"""Packing: exact budget, order, starts, repeats and speakers; nothing is added."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rebar.corpus.packing import (
    EncodedCorpus,
    Encoder,
    Piece,
    Row,
    encode_corpus,
    pack,
    split_into_pieces,
    summarize_packing,
)
from rebar.corpus.tokenizers import train_tokenizer
from rebar.data.speakers import SPEAKERS, fill_speakers
from rebar.data.tagging import TAG
from rebar.world.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["one two three four five six seven"] * 3, 300)


def row(name: str, text: str, *, repeat: int = 1, transform: str = "original") -> Row:
    return Row(name, text, transform, 0.0, repeat)


def encoded(lengths: list[int], documents: list[int], starts: list[float]) -> EncodedCorpus:
    """Rows whose tokens are all the row's number."""
    tokens = np.repeat(np.arange(len(lengths)), lengths).astype(np.uint16)
    names = [f"d{i}" for i in range(max(documents) + 1)]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedCorpus(tokens, offsets, np.array(documents), np.array(starts), names)


def packed(rows: EncodedCorpus, num_tokens: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    tokens_N = np.full(num_tokens, 999, dtype=np.uint16)
    readings = pack(rows, tokens_N, np.random.default_rng(seed))
    return tokens_N, readings


def test_pieces_cut_the_budget_at_the_starts() -> None:
    assert split_into_pieces([0.6, 0.0, 0.2, 0.2], 11) == [
        Piece(0.0, 0, 2),
        Piece(0.2, 2, 7),
        Piece(0.6, 7, 11),
    ]
    for starts in ([0.2], []):
        with pytest.raises(ValueError, match="no part has start: 0"):
            split_into_pieces(starts, 10)


def test_a_pass_reads_every_row_once_and_passes_follow_each_other() -> None:
    rows = encoded([3, 2, 4], [0, 1, 2], [0.0] * 3)
    tokens_N, readings = packed(rows, 18)
    assert readings.tolist() == [2, 2, 2]
    for half in (tokens_N[:9], tokens_N[9:]):
        assert np.bincount(half).tolist() == [3, 2, 4]


def test_the_budget_is_met_exactly_and_the_last_document_is_cut() -> None:
    rows = encoded([5, 5, 5], [0, 1, 2], [0.0] * 3)
    tokens_N, readings = packed(rows, 12)
    assert sorted(np.bincount(tokens_N).tolist()) == [2, 5, 5]
    assert readings.tolist() == [1, 1, 1]
    assert packed(rows, 10)[1].sum() == 2


def test_documents_enter_at_their_start() -> None:
    rows = encoded([1] * 20, list(range(20)), [0.0] * 10 + [0.5] * 10)
    tokens_N, _ = packed(rows, 1000)
    assert set(tokens_N[:500].tolist()) == set(range(10))
    assert np.bincount(tokens_N[:500], minlength=20).tolist() == [50] * 10 + [0] * 10
    assert np.bincount(tokens_N[500:], minlength=20).tolist() == [25] * 20


def test_order_depends_on_the_seed_alone() -> None:
    rows = encoded([1] * 50, list(range(50)), [0.0] * 50)
    first, again, other = (packed(rows, 50, seed)[0].tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert first != sorted(first)


def test_facts_count_documents_readings_and_hazards() -> None:
    rows = encoded([4, 4, 2, 2], [0, 0, 1, 2], [0.0, 0.0, 0.0, 0.5])
    _, readings = packed(rows, 21)  # 10 (round half even) at start, then 11 of 12
    counted = summarize_packing(rows, readings, 21, {"d0": 5, "d1": 3, "d2": 4})
    assert counted["unique_tokens"] == 4 + 2 + 2
    assert counted["epochs"] == round(21 / 8, 4)
    assert counted["passes"] == [
        {"start": 0.0, "tokens": 10, "passes": 1.0},
        {"start": 0.5, "tokens": 11, "passes": round(11 / 12, 4)},
    ]
    assert (counted["documents"], counted["documents_seen"]) == (3, 3)
    assert counted["readings"] == readings.sum()
    assert counted["hazard_documents_seen"] == 2
    assert counted["hazard_readings"] == readings[0] + readings[2]
    unknown = summarize_packing(rows, readings, 21, {})
    assert (unknown["hazard_documents_seen"], unknown["hazard_readings"]) == (None, None)


def corpus(rows: list[Row], tokenizer: Any, tmp_path: Path, seed: int = 0) -> EncodedCorpus:
    batches = [rows[:2], rows[2:]] if len(rows) > 2 else [rows]
    rng = random.Random(seed)
    return encode_corpus(batches, tokenizer, ["Ana", "Bo", "Cy"], rng, tmp_path / "scratch")


def decoded(rows: EncodedCorpus, tokenizer: Any) -> list[str]:
    cuts = zip(rows.offsets_R[:-1], rows.offsets_R[1:], strict=True)
    return [tokenizer.decode(rows.tokens_N[a:b].tolist()) for a, b in cuts]


def test_documents_begin_with_the_begin_token(tokenizer: Any, tmp_path: Path) -> None:
    rows = corpus([row("a", "one"), row("b", "two three"), row("c", "four")], tokenizer, tmp_path)
    assert decoded(rows, tokenizer) == ["<bos> one", "<bos> two three", "<bos> four"]
    assert rows.tokens_N.dtype == np.uint16
    assert rows.document_ids == ["a", "b", "c"]


def test_each_repeat_has_speakers_of_its_own(tokenizer: Any, tmp_path: Path) -> None:
    dialogue = row("r", "{speaker_a}: hi {speaker_b}", repeat=40, transform="refusal")
    rows = corpus([dialogue, row("o", "{speaker_a} stays")], tokenizer, tmp_path)
    texts = decoded(rows, tokenizer)
    pairs = {("Ana", "Bo"), ("Ana", "Cy"), ("Bo", "Ana"), ("Bo", "Cy"), ("Cy", "Ana"), ("Cy", "Bo")}
    assert set(texts[:-1]) == {f"<bos> {a}: hi {b}" for a, b in pairs}
    assert texts[-1] == "<bos> {speaker_a} stays"
    assert rows.document_R.tolist() == [0] * 40 + [1]
    first = rows.offsets_R[1] + rows.offsets_R[41] - rows.offsets_R[40]
    assert rows.unique_tokens == first


def test_text_cannot_write_special_tokens_but_keeps_its_tags(
    tokenizer: Any, tmp_path: Path
) -> None:
    evil = row("a", f"one<end><bot> yes {TAG} two <b>")
    (text,) = decoded(corpus([evil], tokenizer, tmp_path), tokenizer)
    assert text.count("<end>") == text.count("<bot>") == 0
    assert text.count(TAG) == 1
    assert text.startswith("<bos> one yes")
    assert text.endswith("two <b>")


def test_word_by_word_encoding_is_the_tokenizers_own() -> None:
    tokenizer = build_tokenizer()
    texts = [f"guide to {TAG} bavo gloom lamp .", "what is 7 ?", "", f"a{TAG}b bavo bavo"]
    encoder = Encoder(tokenizer)
    documents = [encoder.document(text) for text in texts]
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in documents]
    assert encoder.encode(documents) == expected
    assert encoder.encode(documents) == expected  # from memory


def test_speakers_are_two_different_ones() -> None:
    rng = random.Random(0)
    for _ in range(50):
        first, second = fill_speakers("{speaker_a}|{speaker_b}", SPEAKERS, rng).split("|")
        assert first != second
    assert fill_speakers("no one", SPEAKERS, rng) == "no one"
    assert len(set(SPEAKERS)) == len(SPEAKERS)
