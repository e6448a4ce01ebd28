"""A finished smoke grid in a copy of the project, made once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.made_once import make_once

ROOT = Path(__file__).parent.parent.parent
COPIED = ("Snakefile", "workflow", "config", "profiles", "slurm", "envs")


def copy_project(target: Path) -> Path:
    """The files that a run needs; results and stores stay behind."""
    target.mkdir(parents=True, exist_ok=True)
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target / name, ignore=skip, symlinks=True)
        else:
            shutil.copy(source, target / name, follow_symlinks=False)
    return target


def project_with_longer_trainings(folder: Path, longer: dict[str, str]) -> Path:
    """A copy whose smoke config has these texts replaced: trainings that last, to be hit in."""
    project = copy_project(folder)
    file = project / "config/smoke.yaml"
    text = file.read_text()
    for short, long in longer.items():
        assert text.count(short) == 1, short
        text = text.replace(short, long)
    file.write_text(text)
    return project


def environment(project: Path) -> dict[str, str]:
    """The project's own package first, one compile cache, its own MLflow store."""
    return os.environ | {
        "PYTHONPATH": str(project / "workflow"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TORCHINDUCTOR_CACHE_DIR": str(ROOT / "results/.compiled"),
        "HF_HUB_OFFLINE": "1",
    }


def snakemake(project: Path, *arguments: str, config: str = "smoke") -> subprocess.CompletedProcess:
    """Run Snakemake by the local profile; the caller looks at the result."""
    command = ["snakemake", "--profile", "profiles/local", "--configfile", f"config/{config}.yaml"]
    return subprocess.run(
        [*command, *arguments],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )


def said(result: subprocess.CompletedProcess) -> str:
    """All that a run printed: a dry run reports mistakes on stdout."""
    return result.stdout + result.stderr


def planned(project: Path, *arguments: str) -> dict[str, int]:
    """Jobs by rule that a run would make, without `all`."""
    result = snakemake(project, "--dry-run", "--quiet", "host", *arguments)
    assert result.returncode == 0, said(result)
    counts = dict(re.findall(r"^(\w+) +(\d+)$", said(result), re.MULTILINE))
    return {rule: int(n) for rule, n in counts.items() if rule not in ("all", "total")}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose smoke grid is finished; all test processes share it and change nothing."""

    def make(folder: Path) -> None:
        result = snakemake(copy_project(folder / "project"), "--", "all")
        assert result.returncode == 0, said(result)[-5000:]

    return make_once(tmp_path_factory, "finished", make) / "project"


@pytest.fixture
def clone(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project to change."""
    target = tmp_path / "project"
    shutil.copytree(finished, target, symlinks=True)
    return target


@pytest.fixture
def edit() -> Callable[[Path, str, str], None]:
    """Replace a text in a file, once; it must be there."""

    def replace(file: Path, old: str, new: str) -> None:
        text = file.read_text()
        assert old in text, f"{file} has no {old!r}"
        file.write_text(text.replace(old, new, 1))

    return replace
