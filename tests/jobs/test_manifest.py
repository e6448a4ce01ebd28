"""Manifests: deterministic edges, whole folders, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebar.jobs.manifest import (
    damages,
    digest,
    find_manifests,
    is_valid,
    load_manifest,
    output_folder,
    read_manifest,
    write_manifest,
)

SPEC = {"stage": "mix", "wildcards": {"seed": 1}, "settings": {"a": (1, 2)}, "code": {}}


def make(folder: Path, text: str = "hello", **facts: object) -> Path:
    with output_folder(folder) as temporary:
        (temporary / "part").mkdir()
        (temporary / "part" / "documents.txt").write_text(text)
        (temporary / "costs.json").write_text('{"seconds": 1}')
        write_manifest(temporary, spec=SPEC, counts={"documents": 1}, **facts)
    return folder


def test_a_manifest_lists_files_and_no_times(tmp_path: Path) -> None:
    content = read_manifest(make(tmp_path / "a"))
    sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"
    assert content["files"] == {"part/documents.txt": {"bytes": 5, "sha256": sha}}
    assert (tmp_path / "a" / "costs.json").exists()
    assert digest(make(tmp_path / "b") / "manifest.json") == digest(tmp_path / "a/manifest.json")


def test_a_failed_stage_leaves_the_old_folder_whole(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    with pytest.raises(RuntimeError), output_folder(folder) as temporary:
        (temporary / "half").write_text("x")
        raise RuntimeError
    assert read_manifest(folder, verify=True)["counts"] == {"documents": 1}
    make(folder, "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_remaking_removes_old_files_and_keeps_other_items(tmp_path: Path) -> None:
    item = make(tmp_path / "job" / "item")
    with output_folder(tmp_path / "job") as temporary:
        (temporary / "old").write_text("x")
        write_manifest(temporary, spec=SPEC)
    with output_folder(tmp_path / "job") as temporary:
        write_manifest(temporary, spec=SPEC)
    assert sorted(p.name for p in (tmp_path / "job").iterdir()) == ["item", "manifest.json"]
    assert read_manifest(item)


def test_damage_is_told_with_the_command_that_remakes(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    file = folder / "part" / "documents.txt"
    file.write_text("hullo")
    assert read_manifest(folder)["files"]
    with pytest.raises(ValueError, match="does not have the recorded SHA-256; remake it: snake"):
        read_manifest(folder, verify=True)
    file.write_text("hell")
    with pytest.raises(ValueError, match="is missing or not 5 bytes long; remake it"):
        read_manifest(folder)
    with pytest.raises(ValueError, match=r"manifest\.json is missing; remake it"):
        read_manifest(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"files": {"a', r"manifest\.json is broken \(Unterminated string.*\); remake it: snake"),
        (b"\xff", r"manifest\.json is broken \(.*decode.*\); remake it"),
        (b"{}", r"manifest\.json is broken \(no spec, inputs, files, counts in it\); remake it"),
        (b"[]", r"manifest\.json is broken \(no spec"),
    ],
)
def test_a_broken_manifest_is_told_and_not_valid(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    folder = make(tmp_path / "a")
    (folder / "manifest.json").write_bytes(content)
    for read in (read_manifest, load_manifest):
        with pytest.raises(ValueError, match=sentence) as error:
            read(folder)
        assert str(error.value).startswith(str(folder))
    assert not is_valid(folder, SPEC, {})


def test_an_item_is_remade_by_its_job(tmp_path: Path) -> None:
    job, item = make(tmp_path / "job"), make(tmp_path / "job" / "item")
    (item / "part" / "documents.txt").unlink()
    with pytest.raises(ValueError) as error:
        read_manifest(item)
    remake = f"rm -f {item}/manifest.json; snakemake --profile profiles/local --force -- {job}"
    assert str(error.value).endswith(f"remake it: {remake}/manifest.json")


def test_all_damages_are_found(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a") as temporary:
        for name in ("gone", "longer", "other", "whole"):
            (temporary / name).write_text("x")
        write_manifest(temporary, spec=SPEC)
    (tmp_path / "a" / "gone").unlink()
    (tmp_path / "a" / "longer").write_text("xx")
    (tmp_path / "a" / "other").write_text("y")
    names = [problem.split()[0] for problem in damages(tmp_path / "a", verify=True)]
    assert names == [f"{tmp_path}/a/{name}" for name in ("gone", "longer", "other")]
    assert len(list(damages(tmp_path / "a", verify=False))) == 2


def test_half_made_folders_hold_no_manifest_to_find(tmp_path: Path) -> None:
    make(tmp_path / "b")
    make(tmp_path / "a" / ".b.unfinished")
    assert list(find_manifests(tmp_path)) == [tmp_path / "b" / "manifest.json"]


def test_validity_follows_spec_inputs_and_files(tmp_path: Path) -> None:
    source = make(tmp_path / "source") / "manifest.json"
    folder = tmp_path / "item"
    with output_folder(folder) as temporary:
        (temporary / "x").write_text("x")
        write_manifest(temporary, spec=SPEC, inputs={"source": source})
    inputs = {"source": source}
    assert is_valid(folder, SPEC, inputs)
    assert not is_valid(folder, SPEC | {"code": {"stage": "1"}}, inputs)
    make(tmp_path / "source", "other")
    assert not is_valid(folder, SPEC, inputs)
    make(tmp_path / "source")
    assert is_valid(folder, SPEC, inputs)
    (folder / "x").unlink()
    assert not is_valid(folder, SPEC, inputs)


def test_a_manifest_is_json_with_sorted_keys(tmp_path: Path) -> None:
    text = (make(tmp_path / "a", facts={"b": 1, "a": 2}) / "manifest.json").read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
