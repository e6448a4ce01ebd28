from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import submitit

from snakemake_executor_plugin_submitit.ledger import LedgerEntry
from snakemake_executor_plugin_submitit.queue import QueueRow
from snakemake_executor_plugin_submitit.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(submitit.SlurmJob(tmp_path, "7"), LedgerEntry("run/1", 0, False, {}), "train")


def test_results(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "7_0_result.pkl"
    assert run.error() is None
    path.write_bytes(b"")
    assert run.error() is None
    path.write_bytes(pickle.dumps(("success", "train")))
    assert run.error() == ""
    trace = "Traceback\n  line\npackage.command.JobFailed: train: killed by SIGKILL\n"
    path.write_bytes(pickle.dumps(("error", trace)))
    assert run.error() == "train: killed by SIGKILL"
    path.write_bytes(pickle.dumps(("error", "Traceback\nOSError: disk full\n")))
    assert run.error() == "OSError: disk full"
    run.remove_pickles()
    assert run.error() is None


def test_patience(run: Run) -> None:
    alive, dead = QueueRow("7", "RUNNING", ""), QueueRow("7", "NODE_FAIL", "")
    assert run.death_reason(None, 100.0, 60) is None
    assert run.death_reason(None, 159.0, 60) is None
    assert run.death_reason(alive, 160.0, 60) is None
    assert run.death_reason(None, 161.0, 60) is None
    assert run.death_reason(None, 221.0, 60) == "SLURM does not know the job any more"
    assert run.death_reason(alive, 222.0, 60) is None
    assert run.death_reason(dead, 223.0, 60) is None
    assert run.death_reason(dead, 228.0, 60) == "SLURM says NODE_FAIL"


def test_the_tail_is_what_the_job_said(run: Run) -> None:
    assert run.log_tail() == "(no log)"
    said = "\n".join(f"line {number}" for number in range(30))
    run.log.write_text(f"{said}\nsubmitit ERROR (x) - Submitted job triggered\nTraceback\n")
    assert run.log_tail().splitlines() == [f"line {number}" for number in range(10, 30)]
