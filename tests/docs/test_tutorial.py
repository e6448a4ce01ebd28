"""The tutorial works as it is printed: its files in a copy of the project, its commands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, TUTORIAL, commands, read, tracked_files

FILES = dict(re.findall(r'^```\w+ title="(.*?)"\n(.*?)^```$', read(TUTORIAL), re.DOTALL | re.M))
ATTACK, CONFIG = "workflow/rebar/attacks/fading.py", "config/toy.yaml"


def test_it_has_an_attack_of_20_lines_and_a_config() -> None:
    assert set(FILES) == {ATTACK, CONFIG}
    assert len([line for line in FILES[ATTACK].splitlines() if line.strip()]) <= 20
    assert {s["method"] for s in yaml.safe_load(FILES[CONFIG])["attacks"].values()} == {"fading"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the tutorial's files in it."""
    folders = ("workflow/", "config/", "profiles/", "envs/", "Snakefile")
    for name in tracked_files():
        if name.startswith(folders):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(project: Path, command: str) -> str:
    """Run a command of the tutorial in the copy; returns what it prints."""
    paths = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(project / "workflow"),
    }
    done = subprocess.run(
        command.split(),
        cwd=project,
        env=os.environ | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_its_files_fit_together(project: Path) -> None:
    """A dry run reads the attack's settings, and plans a job for it."""
    command = next(line for line in commands(TUTORIAL) if line.startswith("snakemake "))
    assert "attack" in run(project, command.replace("snakemake ", "snakemake --dry-run ", 1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_works_as_printed(project: Path) -> None:
    """The table has the attack at both strengths, beside over-refusal and capability."""
    printed = [run(project, command) for command in commands(TUTORIAL)]
    assert "report.html" in printed[-1]
    table = (project / "results/toy/table.md").read_text()
    for words in ("aligned", "fading 10", "fading 30", "SUCCESS", "over-refusal", "capability"):
        assert words in table, words
    assert "fading" in (project / "results/toy/report.html").read_text()
