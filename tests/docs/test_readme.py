"""README and documentation stay true: the tree exists, commands run, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rebar.config.plugins import plugin_names
from tests.docs.pages import (
    ROOT,
    TUTORIAL,
    anchors,
    code_blocks,
    commands,
    links,
    read,
    tracked_files,
    written_pages,
)

README = "README.md"
PAGES = written_pages()
# Pages whose tables list the plug-ins of these folders, one a row.
PLUGIN_PAGES = {
    "docs/attacks.md": ("attacks",),
    "docs/safeguards.md": ("safeguards", "alignments"),
    "docs/evaluations.md": ("evaluations", "judges", "probes"),
}


def tree() -> dict[str, str]:
    """Folders of the README's tree with their phrases."""
    (block,) = [b.text for b in code_blocks(README) if b.text.startswith("config/")]
    paths: dict[str, str] = {}
    folders: list[str] = []
    for line in block.splitlines():
        name, phrase = re.match(r"( *\S+) *(.*)", line).groups()  # type: ignore[union-attr]
        depth = (len(name) - len(name.lstrip())) // 2
        folders = [*folders[:depth], name.strip().rstrip("/")]
        paths["/".join(folders)] = phrase
    return paths


def test_the_readme_is_short() -> None:
    assert len(read(README).splitlines()) <= 150


def test_the_tree_exists_and_every_file_has_a_phrase() -> None:
    paths = tree()
    assert len(paths) > 20
    for path, phrase in paths.items():
        assert (ROOT / path).is_dir(), path
        assert len(phrase) > 5, path


@pytest.mark.parametrize("folder", ["workflow/rebar", "workflow", "."])
def test_the_tree_leaves_nothing_out(folder: str) -> None:
    listed = {Path(path).name for path in tree() if str(Path(path).parent) == folder}
    parents = [parent for name in tracked_files() for parent in Path(name).parents]
    found = {path.name for path in parents if str(path.parent) == folder and path.name}
    made = {"provenance", "results"}  # by runs, and kept in git only by those who publish them
    assert {name for name in found if not name.startswith(".")} - made == listed


@pytest.mark.parametrize(
    "command",
    dict.fromkeys(line for page in PAGES if page != TUTORIAL for line in commands(page)),
)
def test_its_commands_run(command: str) -> None:
    """Snakemake's as dry runs; `make` runs the others in the slow tests."""
    words = command.split()
    if words[0] == "snakemake":
        words[1:1] = ["--dry-run", "--quiet"]
    paths = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "workflow"),
    }
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | paths, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_make_command_is_a_target() -> None:
    targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", read("Makefile"), re.M))
    names = {name for line in targets for name in line.split()}
    for page in PAGES:
        named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", read(page), re.MULTILINE))
        assert named <= names, page
    assert {"demo", "test", "test-slow", "check", "bench", "smoke", "ladder", "real"} <= names


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_image_leads_somewhere(page: str) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(str(file.resolve().relative_to(ROOT))), target


@pytest.mark.parametrize("page", PLUGIN_PAGES)
def test_plug_ins_of_the_readme_are_those_of_the_folders(page: str) -> None:
    """The lists of plug-ins: they stand on pages of the documentation."""
    listed = re.findall(r"^\| `(\w+)`", read(page), re.MULTILINE)
    folders = PLUGIN_PAGES[page]
    assert sorted(listed) == sorted(name for folder in folders for name in plugin_names(folder))


def arm_rows(page: str) -> dict[str, list[str]]:
    """Rows of the results' tables by arm, with their numbers."""
    rows = [line.strip("| ").split(" | ") for line in read(page).splitlines() if line[:1] == "|"]
    return {row[0]: [cell for cell in row[1:] if cell.isdigit()] for row in rows}


def test_the_results_of_the_readme_are_those_of_the_results_page() -> None:
    """Each row of the README begins as one of the page does and has its first four numbers."""
    shown = {arm: numbers for arm, numbers in arm_rows(README).items() if len(numbers) == 4}
    assert len(shown) == 5
    table = arm_rows("docs/results.md")
    for arm, numbers in shown.items():
        (row,) = [
            n for name, n in table.items() if re.fullmatch(rf"{re.escape(arm)}( [(=].*)?", name)
        ]
        assert row[:4] == numbers, arm


def test_the_gate_runs_the_readmes_commands() -> None:
    gate = read(".ci/run")
    for command in ("make setup", "make check", "make test", "make test-slow"):
        assert f"\n{command}\n" in gate


def test_the_gate_builds_the_documentation() -> None:
    (check,) = re.findall(r"^check:.*?\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert "$(MKDOCS)" in check
    assert "mkdocs build --quiet --strict" in read("Makefile")


def test_the_project_is_small() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(p.stat().st_size for p in files if p.is_file()) < 3_500_000
