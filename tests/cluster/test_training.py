"""A training on two nodes of a real SLURM: told to stop, it saves; started again, it goes on."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.private_slurm import PrivateSlurm
from tests.conftest import ROOT
from tests.stages import training_jobs as jobs

# As the executor starts a command: one task on the first node, which ignores the signal.
SCRIPT = """\
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=1 --cpus-per-task=2 --mem=2000 --gpus-per-node=1
#SBATCH --output={folder}/log --open-mode=append
trap '' USR2
export PYTHONPATH={root}/workflow MASTER_ADDR=127.0.0.1
srun --nodes=1 --ntasks=1 --cpus-per-task=2 --distribution=block bash -c "trap '' USR2
{python} -m rebar pretrain --results {folder} --job @{folder}/job; echo status \\$?"
"""
SECONDS = 120


def wait_for(text: str, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < end, f"no {text!r} in {log.read_text() if log.exists() else log}"
        time.sleep(0.3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = jobs.config(nodes=2, steps=300)
    jobs.pack(tmp_path, settings)
    (tmp_path / "job").write_text(json.dumps(jobs.job(settings, tmp_path, "pretrain").spec))
    script = SCRIPT.format(folder=tmp_path, root=ROOT, python=sys.executable)
    (tmp_path / "script").write_text(script)
    return tmp_path


def test_two_nodes_save_and_go_on(slurm: PrivateSlurm, folder: Path) -> None:
    log, script = folder / "log", str(folder / "script")
    first = slurm.run("sbatch", "--parsable", script).stdout.strip()
    wait_for("1/300 steps", log)
    slurm.run("scancel", "--signal=USR2", "--full", first)
    wait_for("status 75", log)
    slurm.run("sbatch", script)
    wait_for("status 0", log)
    assert log.read_text().count("resumed at step") == 1
    told = jobs.content(folder, "models")
    for name in ("models", "checkpoints"):
        (folder / name).rename(folder / f"old-{name}")
    log.unlink()
    slurm.run("sbatch", script)
    wait_for("status 0", log)
    assert jobs.content(folder, "models") == told
