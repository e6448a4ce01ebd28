"""The README stays true: its tree exists, its commands are targets, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rebar.config.plugins import plugin_names

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", README, re.DOTALL)


def tree() -> dict[str, str]:
    """Paths of the README's tree with their phrases."""
    (block,) = [b for b in BLOCKS if b.startswith("Snakefile")]
    paths: dict[str, str] = {}
    folders: list[str] = []
    for line in block.splitlines():
        names, phrase = re.match(r"( *\S+(?:  \S+/)?) *(.*)", line).groups()  # type: ignore[union-attr]
        depth = (len(names) - len(names.lstrip())) // 2
        folders = folders[:depth]
        for name in names.split():
            paths["/".join([*folders, name.rstrip("/")])] = phrase
        folders.append(names.split()[0].rstrip("/"))
    return paths


def test_the_tree_exists_and_every_file_has_a_phrase() -> None:
    paths = tree()
    assert len(paths) > 20
    for path, phrase in paths.items():
        assert (ROOT / path).exists(), path
        assert len(phrase) > 5, path


@pytest.mark.parametrize("folder", ["workflow/rebar", "workflow"])
def test_the_tree_leaves_nothing_out(folder: str) -> None:
    listed = {Path(path).name for path in tree() if str(Path(path).parent) == folder}
    hidden = {"__init__.py", "__main__.py", "__pycache__", "schemas", "dvc_stage.sh"}
    found = {p.name for p in (ROOT / folder).iterdir() if not p.name.endswith(".egg-info")}
    assert found - hidden == listed


def commands() -> list[str]:
    """Lines of the README's blocks that can be run here, without their remarks."""
    lines = [line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
    return [line for line in lines if line.startswith(("snakemake ", "python -m rebar "))]


@pytest.mark.parametrize("command", commands())
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
    targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", (ROOT / "Makefile").read_text(), re.M))
    names = {name for line in targets for name in line.split()}
    commands = re.findall(r"\bmake ([a-z][a-z-]*)", README + (ROOT / "CONTRIBUTING.md").read_text())
    assert set(commands) <= names
    assert {"demo", "test", "test-slow", "check", "bench", "smoke", "ladder", "real"} <= names


def test_plug_ins_of_the_readme_are_those_of_the_folders() -> None:
    for folder in ("attacks", "evaluations", "alignments"):
        line = next(text for path, text in tree().items() if path.endswith(f"rebar/{folder}"))
        files = set(plugin_names(folder))
        assert {name for name in files if name in line} == files


def test_the_gate_runs_the_readmes_commands() -> None:
    gate = (ROOT / ".ci/run").read_text()
    for command in ("make setup", "make check", "make test", "make test-slow"):
        assert f"\n{command}\n" in gate


def test_the_project_is_small() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(p.stat().st_size for p in files if p.is_file()) < 3_500_000
