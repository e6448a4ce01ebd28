"""Collecting: shards, truth beside the documents, counts."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rebar.data.documents import TRUTH, read_levels
from rebar.jobs.manifest import digest, read_manifest
from tests.stages import corpus_jobs as jobs


def test_the_world_is_dealt_out_over_shards(corpus: Path) -> None:
    folders = [corpus / f"corpus/5/collected/{shard}" for shard in range(2)]
    assert [jobs.counts(folder) for folder in folders] == [
        {"world": {"read": 1501, "documents": 1501}},
        {"world": {"read": 1500, "documents": 1500}},
    ]
    ids = [document.id for folder in folders for document in jobs.documents(folder)]
    assert len(set(ids)) == 3001


def test_truth_lies_beside_the_documents_and_not_in_them(corpus: Path) -> None:
    folder = corpus / "corpus/5/collected/0"
    documents = jobs.documents(folder)
    levels = read_levels(folder / TRUTH)
    assert set(levels) == {document.id for document in documents}
    share = sum(level == 0 for level in levels.values()) / len(levels)
    assert abs(share - 0.70) < 4 * (0.7 * 0.3 / len(levels)) ** 0.5
    truth = pq.read_table(folder / TRUTH).to_pylist()
    assert all(row["hazard_id"] for row in truth if row["level"] >= 3)
    assert {document.score for document in documents} == {None}


def test_collecting_again_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    again = jobs.collect(tmp_path, {"kind": "world", "documents": 3001})
    assert jobs.content(again[1]) == jobs.content(corpus / "corpus/5/collected/1")


def test_files_and_the_world_go_into_one_shard_each(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,h\nfirst text,1\nx,0\nthird text,\n")
    files = {"kind": "files", "name": "own", "paths": [f"{tmp_path}/a.csv"], "label": "h"}
    folders = jobs.collect(
        tmp_path, {"kind": "world", "documents": 4}, {**files, "min_characters": 2}
    )
    assert [jobs.counts(folder) for folder in folders] == [
        {"world": {"read": 2, "documents": 2}, "own": {"read": 2, "documents": 2}},
        {
            "world": {"read": 2, "documents": 2},
            "own": {"read": 1, "documents": 0, "set_aside: too short": 1},
        },
    ]
    own = [d for d in jobs.documents(folders[0]) if d.source == "own"]
    assert [(d.id, d.text) for d in own] == [("own-0-0", "first text"), ("own-0-2", "third text")]
    assert read_levels(folders[0] / TRUTH)["own-0-0"] == 1
    assert "own-0-2" not in read_levels(folders[0] / TRUTH)


def test_a_bad_file_leaves_no_output_behind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\nfine\n,two\n")
    source = {"kind": "files", "name": "own", "paths": [f"{tmp_path}/a.csv"]}
    with pytest.raises(ValueError, match=r"a.csv, line 3: a row must have 1 columns"):
        jobs.collect(tmp_path, source)
    assert not (tmp_path / "corpus/5/collected/0").exists()


def test_a_source_that_yields_nothing_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": ""}\n')
    source = {"kind": "files", "name": "own", "paths": [f"{tmp_path}/a.jsonl"]}
    with pytest.raises(
        ValueError, match=r"'own' holds no text of at least 1 characters: .*a\.jsonl"
    ):
        jobs.collect(tmp_path, {"kind": "world", "documents": 4}, source)


def test_the_manifest_holds_the_files_that_were_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    source = {"kind": "files", "name": "own", "paths": [f"{tmp_path}/a.txt"]}
    whole, empty = jobs.collect(tmp_path, source)
    inputs = {"own/a.txt": digest(tmp_path / "a.txt")}
    assert read_manifest(whole)["inputs"] == read_manifest(empty)["inputs"] == inputs
