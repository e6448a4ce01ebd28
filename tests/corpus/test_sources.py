"""Documents of a shard: how they are dealt out, limits, labels, true levels."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rebar.config.corpus import Collect, FileSource, WorldSource
from rebar.config.world import World
from rebar.corpus.sources import (
    Shard,
    SourceDocument,
    check_not_empty,
    documents_of,
    input_files_of,
    labelled_records,
    level_of,
    text_of,
)
from rebar.data.documents import Document, Truth
from rebar.data.readers import Record
from rebar.data.tagging import TAG


def source(*paths: Path | str, **keys: Any) -> FileSource:
    return FileSource(**{"kind": "files", "name": "n", "paths": [*map(str, paths)], **keys})


def collect(
    settings: Any, index: int = 0, count: int = 1
) -> tuple[list[SourceDocument], Counter[str]]:
    counts: Counter[str] = Counter()
    found = documents_of(
        settings,
        Shard(index, count),
        world=World(),
        seed=3,
        rng=random.Random(index),
        counts=counts,
    )
    return list(found), counts


def lines(path: Path, *texts: str) -> Path:
    path.write_text("\n".join(texts))
    return path


def texts(found: list[SourceDocument]) -> list[str]:
    return [item.document.text for item in found]


def test_documents_of_few_files_are_dealt_out_one_by_one(tmp_path: Path) -> None:
    settings = source(lines(tmp_path / "a.txt", "0", "1", "2"), lines(tmp_path / "b.txt", "3", "4"))
    shards = [collect(settings, index, 3)[0] for index in range(3)]
    assert [texts(found) for found in shards] == [["0", "3"], ["1", "4"], ["2"]]
    assert [item.document.id for item in shards[1]] == ["n-1-1", "n-1-4"]


def test_many_files_are_dealt_out_whole(tmp_path: Path) -> None:
    files = [lines(tmp_path / f"{k}.txt", f"{k}a", f"{k}b") for k in range(3)]
    shards = [collect(source(*files), index, 2)[0] for index in range(2)]
    assert [texts(found) for found in shards] == [["0a", "0b", "2a", "2b"], ["1a", "1b"]]
    assert [item.document.id for item in shards[0]] == ["n-0-0", "n-0-1", "n-0-2", "n-0-3"]


def test_as_many_files_as_shards_are_many(tmp_path: Path) -> None:
    files = [lines(tmp_path / f"{k}.txt", f"{k}a", f"{k}b") for k in range(2)]
    assert texts(collect(source(*files), 1, 2)[0]) == ["1a", "1b"]


def test_a_limit_holds_over_all_shards(tmp_path: Path) -> None:
    settings = source(lines(tmp_path / "a.txt", *"abcdefgh"), limit=5)
    shards = [texts(collect(settings, index, 3)[0]) for index in range(3)]
    assert shards == [["a", "d"], ["b", "e"], ["c"]]


def test_short_documents_are_set_aside_and_counted(tmp_path: Path) -> None:
    found, counts = collect(
        source(lines(tmp_path / "a.txt", "long", "x", "word"), min_characters=2)
    )
    assert texts(found) == ["long", "word"]
    assert counts == {"read": 3, "set_aside: too short": 1}


def test_incoming_text_carries_no_tags(tmp_path: Path) -> None:
    found, counts = collect(source(lines(tmp_path / "a.txt", f"a {TAG} b", "c")))
    assert texts(found) == ["a b", "c"]
    assert counts["tags_removed"] == 1


def test_the_world_draws_each_shard_by_itself() -> None:
    settings = WorldSource(kind="world", documents=7)
    first, counts = collect(settings, 0, 2)
    second, _ = collect(settings, 1, 2)
    assert (len(first), len(second), counts["read"]) == (4, 3, 4)
    assert first[0].document == Document("world-0-0", first[0].document.text, "world")
    assert first[0].truth is not None and first[0].truth.id == "world-0-0"
    assert texts(first[:3]) != texts(second)
    assert collect(settings, 0, 2)[0] == first


@pytest.mark.parametrize(
    ("value", "scale", "level"),
    [
        ("0.5", 5, 3),
        (0.25, 5, 1),
        (0, 5, 0),
        ("1", 5, 5),
        (2.49, 1, 2),
        ("", 1, None),
        (None, 1, None),
    ],
)
def test_labels_are_scaled_and_half_rounds_up(value: Any, scale: float, level: int | None) -> None:
    settings = source("x", label="h", label_scale=scale)
    assert level_of(Record("f, line 1", {"h": value}), settings) == level


def test_labels_that_are_none(tmp_path: Path) -> None:
    nan = Record("f, line 1", {"h": float("nan")})
    assert level_of(nan, source("x", label="h")) is None
    assert level_of(nan, source("x")) is None
    assert level_of(nan, source("x", constant_label=5)) == 5


def test_labels_that_are_wrong_name_the_place() -> None:
    settings = source("x", label="h", label_scale=5)
    with pytest.raises(ValueError, match=r"f, line 9: column 'h' holds a str of length 3; allowed"):
        level_of(Record("f, line 9", {"h": "bad"}), settings)
    with pytest.raises(ValueError, match=r"f, line 9: column 'h' is 2, times label_scale 5 is 10"):
        level_of(Record("f, line 9", {"h": 2}), settings)
    with pytest.raises(ValueError, match=r"f, line 9: column 'text' holds a list, not text"):
        text_of(Record("f, line 9", {"text": []}), settings)


@pytest.mark.parametrize("value", ["how to do harm", ["how to do harm"], {"how to do harm": 1}])
def test_a_label_that_is_no_number_is_not_shown(value: Any) -> None:
    with pytest.raises(ValueError, match="allowed: numbers; set label:") as error:
        level_of(Record("f, line 9", {"h": value}), source("x", label="h"))
    assert "harm" not in str(error.value)


@pytest.mark.parametrize("value", ["inf", float("-inf"), 1e308, 10**400])
def test_a_label_without_end_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"f, line 9: column 'h' .*allowed: "):
        level_of(Record("f, line 9", {"h": value}), source("x", label="h", label_scale=5))


def test_a_human_label_is_the_truth(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.csv", "text,h", "one,0.8", "two,")
    found, _ = collect(source(path, label="h", label_scale=5))
    assert [item.truth for item in found] == [Truth("n-0-0", 4), None]


def test_labelled_records_skip_what_has_no_label(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.csv", "text,h", f"one {TAG} more,5", "two,", ",3", "four,1", "five,2"
    )
    settings = source(path, label="h", limit=2)
    assert list(labelled_records(settings)) == [("one more", 5), ("four", 1)]


def test_labelled_records_of_a_source_without_any(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.csv", "text,h", "one,", ",3")
    with pytest.raises(
        ValueError, match=r"'n' holds no labelled document: .*a\.csv; change paths:"
    ):
        list(labelled_records(source(path, label="h")))


@pytest.mark.parametrize("content", ["", "\n", '{"text": null}\n{"text": "x"}\n'])
def test_a_source_without_documents_in_any_shard_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    empty = source(tmp_path / "a.jsonl", min_characters=2)
    with pytest.raises(ValueError, match=r"'n' holds no text of at least 2 characters: .*a\.jsonl"):
        check_not_empty(empty)
    full = lines(tmp_path / "b.jsonl", '{"text": "two"}')
    check_not_empty(source(tmp_path / "a.jsonl", full, min_characters=2))


def test_input_files_are_named_without_their_folders(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        lines(tmp_path / folder / "x.txt", "one")
    own = source(f"{tmp_path}/*/x.txt")
    world = WorldSource(kind="world", documents=1)
    assert input_files_of([world, own], Shard(0, 3)) == {
        "n/x.txt": tmp_path / "a/x.txt",
        "n/x.txt (2)": tmp_path / "b/x.txt",
    }
    assert input_files_of([own], Shard(1, 2)) == {"n/x.txt": tmp_path / "b/x.txt"}


def test_settings_that_contradict_themselves() -> None:
    with pytest.raises(ValueError, match="source 'n' has label and constant_label; keep one"):
        source("x", label="h", constant_label=1)
    with pytest.raises(ValueError, match="sources share the name n; ids come from names"):
        Collect(sources=[source("x"), source("y")])
