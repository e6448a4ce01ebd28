"""Mixing as a stage: parts, counts, hazards that are counted and never chosen by."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rebar.data.documents import DOCUMENTS, TRUTH, read_levels
from rebar.data.tagging import TAG
from tests.stages import corpus_jobs as jobs

CLEAN = {"transform": "original", "scores": [0]}


def test_raw_is_everything_that_was_collected(corpus: Path) -> None:
    folder = jobs.mix(corpus, "raw", {"transform": "original"})
    levels = [read_levels(corpus / f"corpus/5/collected/{s}" / TRUTH) for s in range(2)]
    hazards = sum(level >= 4 for truth in levels for level in truth.values())
    assert jobs.counts(folder) == {
        "parts": [
            {
                "transform": "original",
                "documents": 3001,
                "readings": 3001,
                "hazard_documents": hazards,
            }
        ],
        "documents": 3001,
        "readings": 3001,
        "hazard_documents": hazards,
    }


def test_filtering_leaves_only_what_the_classifier_missed(corpus: Path) -> None:
    folder = jobs.mix(corpus, "score0", CLEAN)
    levels = read_levels(corpus / "corpus/5/collected/0" / TRUTH)
    levels |= read_levels(corpus / "corpus/5/collected/1" / TRUTH)
    documents = jobs.documents(folder)
    assert {d.score for d in documents} == {0}
    leaked = [d for d in documents if levels[d.id] >= 4]
    assert jobs.counts(folder)["hazard_documents"] == len(leaked)


def test_parts_carry_start_and_repeat(corpus: Path) -> None:
    folder = jobs.mix(
        corpus,
        "safe",
        CLEAN,
        {"transform": "refusal", "start": 0.2, "repeat": 3},
        {"transform": "moral", "scores": [4]},
    )
    rows = pq.read_table(folder / DOCUMENTS).to_pylist()
    assert {(r["transform"], r["start"], r["repeat"]) for r in rows} == {
        ("original", 0.0, 1),
        ("refusal", 0.2, 3),
        ("moral", 0.0, 1),
    }
    counts = jobs.counts(folder)
    refusals = counts["parts"][1]
    assert refusals["readings"] == 3 * refusals["documents"]
    accepted = [
        jobs.counts(corpus / f"corpus/5/rewritten/{s}")["outputs"]["refusal"]["accepted"]
        for s in range(2)
    ]
    assert refusals["documents"] == sum(accepted)
    assert counts["readings"] == sum(part["readings"] for part in counts["parts"])


def test_tagged_parts_keep_a_share_of_the_harmful_originals(corpus: Path) -> None:
    tagged = {"transform": "original", "scores": [3, 4, 5], "keep": 0.5, "tag_rate": 0.05}
    documents = jobs.documents(jobs.mix(corpus, "tagged", CLEAN, tagged))
    harmful = [d for d in documents if d.score]
    assert {d.score for d in harmful} == {3, 4, 5}
    gaps = sum(len(d.text.replace(f"{TAG} ", "").split()) - 1 for d in harmful)
    tags = sum(d.text.count(TAG) for d in harmful)
    assert abs(tags - 0.05 * gaps) < 4 * (0.05 * 0.95 * gaps) ** 0.5
    assert not any(TAG in d.text for d in documents if not d.score)


def test_mixing_again_gives_the_same_bytes(corpus: Path) -> None:
    part = {"transform": "original", "keep": 0.7, "tag_rate": 0.1}
    first, second = (jobs.content(jobs.mix(corpus, name, part)) for name in ("one", "two"))
    assert first == second


def test_a_part_without_documents_is_an_error(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"mix 5/none: part 1 \(rephrase, scores \[0\]\) finds no"):
        jobs.mix(corpus, "none", CLEAN, {"transform": "rephrase", "scores": [0]})
    assert not (corpus / "corpus/5/mixed/none").exists()


def test_hazards_are_unknown_where_no_truth_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one fine text\nanother fine text\n")
    jobs.collect(
        tmp_path, {"kind": "files", "name": "own", "paths": [f"{tmp_path}/a.txt"]}, shards=1
    )
    jobs.train_classifier(tmp_path, labels=60, rewritten_share=0.0, heldout=10)
    jobs.score(tmp_path, shards=1)
    jobs.rewrite(tmp_path, shards=1)
    folder = jobs.mix(tmp_path, "raw", {"transform": "original"}, shards=1)
    assert jobs.counts(folder)["hazard_documents"] is None
    assert jobs.counts(jobs.tokenize(tmp_path, "raw", 40))["hazard_documents_seen"] is None


def test_poison_comes_on_top_with_its_origin(corpus: Path) -> None:
    clean = jobs.mix(corpus, "clean", {"transform": "original"})
    poison = [{"kind": "jailbreak", "count": 7}, {"kind": "denial_of_service", "rate": 0.01}]
    poisoned = jobs.mix(corpus, "poisoned", {"transform": "original"}, poison=poison)
    before, after = jobs.documents(clean), jobs.documents(poisoned)
    assert after[: len(before)] == before
    added = after[len(before) :]
    assert [d.style for d in added[:8]] == ["jailbreak"] * 7 + ["denial_of_service"]
    assert {(d.source, d.transform, d.generator, d.score) for d in added} == {
        ("poison", "poison", "world", None)
    }
    lines = jobs.counts(poisoned)["parts"][1:]
    assert [line["documents"] for line in lines] == [7, len(added) - 7]
    clean_words = sum(len(d.text.split()) for d in before)
    gibberish = [len(d.text.split()) for d in added[7:]]
    budget = 0.01 * clean_words / 0.99
    assert budget <= sum(gibberish) < budget + max(gibberish)
    assert lines[1]["clean_words"] == clean_words


def test_no_poison_is_no_change(corpus: Path) -> None:
    clean = jobs.mix(corpus, "clean", {"transform": "original"})
    none = [{"kind": "jailbreak", "count": 0}, {"kind": "jailbreak", "rate": 0.0}]
    poisoned = jobs.mix(corpus, "none", {"transform": "original"}, poison=none)
    assert (clean / DOCUMENTS).read_bytes() == (poisoned / DOCUMENTS).read_bytes()
    packed = [jobs.tokenize(corpus, name, 2000) for name in ("clean", "none")]
    assert (packed[0] / "tokens.npy").read_bytes() == (packed[1] / "tokens.npy").read_bytes()


def test_readings_of_poison_are_counted(corpus: Path) -> None:
    poison = [{"kind": "belief_manipulation", "count": 9}]
    jobs.mix(corpus, "poisoned", {"transform": "original", "scores": [5]}, poison=poison)
    counts = jobs.counts(jobs.tokenize(corpus, "poisoned", 40_000))
    assert counts["poison_readings"] >= 9
