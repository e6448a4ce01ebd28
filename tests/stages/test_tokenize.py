"""Tokenizing as a stage: the exact budget, one tokenizer for all recipes, facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rebar.data.tagging import TAG
from rebar.stages.tokenize import _sample
from tests.stages import corpus_jobs as jobs

CLEAN = {"transform": "original", "scores": [0]}
TAGGED = {"transform": "original", "scores": [4, 5], "tag_rate": 0.3, "start": 0.5}


@pytest.fixture(scope="module")
def mixed(corpus: Path) -> Path:
    jobs.mix(corpus, "plain", CLEAN)
    jobs.mix(corpus, "late", CLEAN, TAGGED, {"transform": "refusal", "repeat": 2})
    return corpus


def tokens(folder: Path) -> np.ndarray:
    return np.load(folder / "tokens.npy")


def load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "tokenizer")


def test_the_budget_is_exact_and_the_tokenizer_shared(mixed: Path) -> None:
    folders = [jobs.tokenize(mixed, name, 20_000) for name in ("plain", "late")]
    for folder in folders:
        assert tokens(folder).shape == (20_001,)
        assert tokens(folder).dtype == np.uint16
    for file in sorted((folders[0] / "tokenizer").iterdir()):
        assert file.read_bytes() == (folders[1] / "tokenizer" / file.name).read_bytes()
    assert not (folders[0] / "encoded.bin").exists()


def test_decoded_tokens_are_the_documents(mixed: Path) -> None:
    folder = jobs.tokenize(mixed, "plain", 20_000)
    text = load(folder).decode(tokens(folder))
    known = {d.text for d in jobs.documents(mixed / "corpus/5/mixed/plain")}
    read = [document.strip() for document in text.split("<bos>")[1:-1]]
    assert len(read) > 500
    assert set(read) <= known


def test_parts_enter_at_their_start_and_speakers_have_names(mixed: Path) -> None:
    folder = jobs.tokenize(mixed, "late", 20_000)
    tag = load(folder).convert_tokens_to_ids(TAG)
    first, second = tokens(folder)[:10_000], tokens(folder)[10_000:]
    assert np.count_nonzero(first == tag) == 0
    assert np.count_nonzero(second == tag) > 50
    assert load(folder).unk_token_id not in tokens(folder)
    assert "speaker" not in load(folder).decode(tokens(folder))


def test_facts_stand_in_the_manifest(mixed: Path) -> None:
    counts = jobs.counts(jobs.tokenize(mixed, "late", 400_000))
    assert counts["tokens"] == 400_001
    assert [piece["start"] for piece in counts["passes"]] == [0.0, 0.5]
    assert counts["documents_seen"] == counts["documents"]
    assert counts["epochs"] == round(400_001 / counts["unique_tokens"], 4)
    assert (
        counts["hazard_documents_seen"]
        == jobs.counts(mixed / "corpus/5/mixed/late")["hazard_documents"]
    )
    assert counts["hazard_readings"] > counts["hazard_documents_seen"]


@pytest.mark.parametrize("keys", [{}, {"tokenizer": "train", "vocabulary_size": 400}])
def test_tokenizing_again_gives_the_same_bytes(mixed: Path, keys: dict) -> None:
    first = jobs.content(jobs.tokenize(mixed, "late", 5000, **keys))
    assert jobs.content(jobs.tokenize(mixed, "late", 5000, **keys)) == first


def test_a_tokenizer_trained_on_collected_text_is_the_same_for_all_recipes(mixed: Path) -> None:
    keys = {"tokenizer": "train", "vocabulary_size": 400, "sample_documents": 500}
    late = jobs.tokenize(mixed, "late", 3000, **keys)
    trained = (late / "tokenizer/tokenizer.json").read_bytes()
    plain = jobs.tokenize(mixed, "plain", 3000, **keys)
    assert (plain / "tokenizer/tokenizer.json").read_bytes() == trained
    tokenizer = load(plain)
    assert len(tokenizer) == 400
    documents = {d.text for d in jobs.documents(mixed / "corpus/5/mixed/plain")}
    read = tokenizer.decode(tokens(plain)).split("<bos> ")[1:-1]
    assert len(read) > 20 and set(read) <= documents


def test_the_sample_is_spread_over_all_shards(corpus: Path) -> None:
    collected = [corpus / f"corpus/5/collected/{shard}" for shard in range(2)]
    everything = [d.text for folder in collected for d in jobs.documents(folder)]
    assert list(_sample(collected, 3)) == [everything[i] for i in (0, 1001, 2001)]
    assert list(_sample(collected, 9999)) == everything


def test_an_existing_tokenizer(mixed: Path, tmp_path: Path) -> None:
    keys = {"tokenizer": "train", "vocabulary_size": 400}
    trained = jobs.tokenize(mixed, "plain", 100, **keys) / "tokenizer"
    other = trained.rename(tmp_path / "tokenizer")
    folder = jobs.tokenize(mixed, "plain", 100, tokenizer=str(other))
    assert load(folder).get_vocab() == load(tmp_path).get_vocab()


def test_a_recipe_that_starts_late_is_an_error(mixed: Path) -> None:
    jobs.mix(mixed, "never", {**CLEAN, "start": 0.2})
    with pytest.raises(ValueError, match="no part has start: 0"):
        jobs.tokenize(mixed, "never", 100)
