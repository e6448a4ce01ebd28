"""Streaming datasets in shards; a local folder stands in for the Hub."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rebar.config.corpus import HubSource
from rebar.corpus.sources import check_not_empty, labelled_records, text_of
from rebar.data.hub import stream_records


def source(dataset: Path | str, **keys: Any) -> HubSource:
    return HubSource(**{"kind": "hub", "dataset": str(dataset), **keys})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = tmp_path / "set"
    data.mkdir()
    for part in range(3):
        table = pa.table({"text": [f"{part}-{i}" for i in range(4)], "n": [1, 2, 3, 4]})
        pq.write_table(table, data / f"train-{part:05d}-of-00003.parquet")
    return data


def shards(settings: HubSource, count: int) -> list[list[str]]:
    return [
        [text_of(record, settings) for _, record in stream_records(settings, i, count)]
        for i in range(count)
    ]


def test_files_are_dealt_out_to_shards(folder: Path) -> None:
    parts = shards(source(folder), 2)
    assert [{text[0] for text in part} for part in parts] == [{"0", "2"}, {"1"}]
    assert sorted(chain(*parts)) == [f"{p}-{i}" for p in range(3) for i in range(4)]


def test_documents_are_dealt_out_where_files_are_few(folder: Path) -> None:
    parts = shards(source(folder), 5)
    assert [len(part) for part in parts] == [3, 3, 2, 2, 2]
    assert len(set(chain(*parts))) == 12


def test_positions_tell_documents_apart(folder: Path) -> None:
    assert [p for p, _ in stream_records(source(folder), 1, 5)] == [1, 6, 11]


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"text": ["a", None, "c"]}).save_to_disk(tmp_path / "saved")
    assert shards(source(tmp_path / "saved"), 1) == [["a", "", "c"]]


def test_the_name_is_the_last_part_of_the_id_and_the_subset() -> None:
    assert source("org/web-text").name == "web-text"
    assert source("org/web-text", subset="small").name == "web-text-small"
    assert source("/data/set/").name == "set"


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="no column 'body'; columns here: text, n; set text:"):
        shards(source(folder, text="body"), 1)
    with pytest.raises(ValueError, match="column 'n' holds a int, not text"):
        shards(source(folder, text="n"), 1)
    with pytest.raises(
        ValueError, match=r"dataset '.*nowhere' cannot be opened .*; set dataset: to an id"
    ):
        shards(source(folder / "nowhere"), 1)


def test_what_datasets_refuse_is_told_with_the_key(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset '.*set': split 'nope' .*train.*; change split:"):
        shards(source(folder, split="nope"), 1)
    with pytest.raises(ValueError, match=r"dataset '.*set': subset 'nope' .*; change subset:"):
        shards(source(folder, subset="nope"), 1)


def test_a_broken_file_names_its_dataset(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "train.jsonl").write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(ValueError, match=r"dataset '.*broken', split 'train': a data file cannot"):
        shards(source(broken), 1)


def test_a_dataset_without_texts_is_refused(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"text": ["", " "]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"'saved' holds no text of .*; change dataset:"):
        check_not_empty(source(tmp_path / "saved"))


def test_a_column_may_be_a_label(folder: Path) -> None:
    labelled = list(labelled_records(source(folder, label="n", limit=5, min_characters=3)))
    assert labelled == [("0-0", 1), ("0-1", 2), ("0-2", 3), ("0-3", 4), ("1-0", 1)]
    with pytest.raises(ValueError, match=r"dataset '.*set', row 1: column 'n' is 2, times .* 6"):
        list(labelled_records(source(folder, label="n", label_scale=3)))
    with pytest.raises(ValueError, match="has label and constant_label; keep one"):
        source(folder, label="n", constant_label=0)


def test_options_reach_the_reader(folder: Path) -> None:
    (folder.parent / "tsv").mkdir()
    (folder.parent / "tsv/train.tsv").write_text("text\tkind\na,b\tNA\n")
    options = {"delimiter": "\t", "keep_default_na": False}
    [(_, record)] = stream_records(source(folder.parent / "tsv", options=options))
    assert record.values == {"text": "a,b", "kind": "NA"}


def test_offline_the_copy_in_the_cache_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cache, commit = tmp_path / "hub", "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    snapshot = cache / "datasets--org--web" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    assert len(shards(source("org/web", revision=commit), 1)[0]) == 12
    with pytest.raises(ValueError, match=r"'org/other' cannot be opened .*nor in the Hub's cache"):
        shards(source("org/other", revision=commit), 1)
