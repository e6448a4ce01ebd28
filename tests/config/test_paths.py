"""Files by path, glob and package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rebar.config.paths import find_files, resolve


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "never_imported"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "data/a.txt").write_text("one")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_files_of_a_package_are_found_without_importing_it(package: Path) -> None:
    assert find_files(["package:never_imported/data/*.txt"]) == [package / "data/a.txt"]
    assert "never_imported" not in sys.modules


def test_other_paths_stay(tmp_path: Path) -> None:
    assert resolve(str(tmp_path)) == str(tmp_path)
    assert resolve("org/name") == "org/name"


@pytest.mark.parametrize("path", ["package:not_there/x", "package:../x", "package:json.tool/x"])
def test_missing_packages_are_named(path: str) -> None:
    with pytest.raises(ValueError, match=r"no package '.*' is installed; install it"):
        resolve(path)


def test_globs_are_sorted_and_files_come_once(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find_files([f"{tmp_path}/b.txt", f"{tmp_path}/*.txt", f"{tmp_path}/**/*.txt"])
    assert [path.name for path in found] == ["b.txt", "a.txt", "c.txt"]


def test_a_pattern_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file matches '.*/\*\.csv'"):
        find_files([f"{tmp_path}/*.csv"])
