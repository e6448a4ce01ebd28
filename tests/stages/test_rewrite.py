"""Rewriting as a stage: identities of counts, the gate's catch rate, limits, a model back end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rebar.corpus.tokenizers import train_tokenizer
from tests.corpus.tiny_models import save_writer
from tests.stages import corpus_jobs as jobs


@pytest.fixture
def scored(corpus: Path, tmp_path: Path) -> Path:
    for part in ("collected", "scored"):
        shutil.copytree(corpus / f"corpus/5/{part}", tmp_path / f"corpus/5/{part}")
    shutil.copytree(corpus / "classifier", tmp_path / "classifier")
    return tmp_path


def test_counts_in_are_counts_out_and_set_aside(corpus: Path) -> None:
    for shard in range(2):
        counts = jobs.counts(corpus / f"corpus/5/rewritten/{shard}")
        by_score = jobs.counts(corpus / f"corpus/5/scored/{shard}")["by_score"]
        documents = counts["documents"]
        assert documents["read"] == sum(by_score.values())
        assert documents["set_aside: score"] == by_score["0"]
        assert documents["set_aside: max_documents"] == 0
        assert documents["rewritten"] == documents["read"] - by_score["0"]
        outputs = counts["outputs"]
        assert outputs["rephrase"]["made"] == sum(by_score[k] for k in "123")
        assert outputs["refusal"]["made"] == 2 * sum(by_score[k] for k in "45")
        assert outputs["moral"]["made"] <= outputs["refusal"]["accepted"]
        for made in outputs.values():
            rejected = sum(n for reason, n in made.items() if reason.startswith("rejected: "))
            assert made["made"] == made["accepted"] + rejected


def test_the_table_holds_what_the_counts_say(corpus: Path) -> None:
    folder = corpus / "corpus/5/rewritten/0"
    counts, documents = jobs.counts(folder), jobs.documents(folder)
    for transform, made in counts["outputs"].items():
        rows = [d for d in documents if d.transform == transform]
        assert len(rows) == made["made"]
        assert sum(d.reject_reason is None for d in rows) == made["accepted"]
    assert all(d.score is not None and d.score <= 3 for d in documents if not d.reject_reason)


def test_the_gate_catches_all_echoes_and_some_leaks(corpus: Path) -> None:
    folders = [corpus / f"corpus/5/rewritten/{shard}" for shard in range(2)]
    planted = [jobs.counts(folder)["planted"] for folder in folders]
    echoes, leaks = ([p[kind] for p in planted] for kind in ("echo", "leak"))
    assert all(e["caught"] == e["planted"] > 10 for e in echoes)
    # A leak is two names in a long refusal: on whole demo corpora a third to two thirds are caught.
    assert sum(e["caught"] for e in leaks) >= 0.25 * sum(e["planted"] for e in leaks) > 0
    rows = pq.read_table(folders[0] / "planted.parquet").to_pylist()
    assert len(rows) == sum(kind["planted"] for kind in planted[0].values())
    texts = {d.id: d.text for d in jobs.documents(folders[0])}
    assert all("some make it with" in texts[r["id"]] for r in rows if r["planted"] == "leak")


def test_most_good_rewrites_pass(corpus: Path) -> None:
    counts = jobs.counts(corpus / "corpus/5/rewritten/0")["outputs"]
    for made in counts.values():
        too_high = sum(n for reason, n in made.items() if reason.startswith("rejected: score"))
        assert too_high < 0.2 * made["made"]  # a classifier of few labels reads them


def test_a_limit_is_shared_by_shards_and_spread(scored: Path) -> None:
    folders = jobs.rewrite(scored, max_documents=21)
    counts = [jobs.counts(folder)["documents"] for folder in folders]
    assert [c["rewritten"] for c in counts] == [11, 10]
    assert all(
        c["read"] == c["rewritten"] + c["set_aside: score"] + c["set_aside: max_documents"]
        for c in counts
    )
    parents = [d.parent_id or "" for d in jobs.documents(folders[0]) if d.transform != "moral"]
    numbers = sorted({int(parent.rpartition("-")[2]) for parent in parents})
    assert len(numbers) == 11
    assert numbers[0] < 300 and numbers[-1] > 1200


def test_rewriting_again_gives_the_same_bytes(corpus: Path, scored: Path) -> None:
    again = jobs.rewrite(scored, echo_rate=0.05, leak_rate=0.05, refusals_per_document=2)
    assert jobs.content(again[0]) == jobs.content(corpus / "corpus/5/rewritten/0")


def test_a_language_model_as_back_end(scored: Path) -> None:
    tokenizer = train_tokenizer(["User: how? Assistant: no."] * 3, 300)
    model = save_writer(scored / "writer", tokenizer)
    keys = {"backend": "transformers", "model": str(model), "max_new_tokens": 4}
    folder = jobs.rewrite(scored, max_documents=9, **keys)[0]
    documents = jobs.documents(folder)
    assert jobs.counts(folder)["documents"]["rewritten"] == 5
    assert {d.generator for d in documents} == {str(model)}
    assert {d.transform for d in documents} <= {"rephrase", "refusal", "moral"}
