from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit import queue
from snakemake_executor_plugin_submitit.queue import Queue, QueueBusy, QueueRow


def _program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_rows(programs: Path) -> None:
    _program(programs, "squeue", "echo 'CLUSTER: c'; echo '7|RUNNING|r/1'; echo '8_3|FAILED|a|b'")
    rows = queue.squeue()
    assert rows == [QueueRow("7", "RUNNING", "r/1"), QueueRow("8_3", "FAILED", "a|b")]
    assert [row.key for row in rows] == [("r/1", 0), ("a|b", 3)]
    assert [row.is_alive for row in rows] == [True, False]


def test_a_state_of_the_future_is_alive() -> None:
    assert QueueRow("1", "DREAMING", "").is_alive


def test_back_off(programs: Path) -> None:
    now = 0.0
    _program(programs, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    asked = Queue(10, clock=lambda: now)
    waits = []
    for _ in range(6):
        with pytest.raises(QueueBusy) as caught:
            asked.poll()
        waits.append(str(caught.value).rpartition("asking again in ")[2])
        assert asked.poll() is None
        now += float(waits[-1].removesuffix(" s"))
    assert waits == ["20 s", "40 s", "80 s", "160 s", "160 s", "160 s"]
    _program(programs, "squeue", "echo '7|RUNNING|r/1'")
    assert asked.poll() == {("r/1", 0): QueueRow("7", "RUNNING", "r/1")}
    now += 9.9
    assert asked.poll() is None
    now += 0.1
    assert asked.poll() is not None


def test_pauses() -> None:
    assert list(islice(Queue(3).pauses(), 6)) == [3, 6, 12, 24, 48, 48]


def test_scancel_of_ended_jobs_is_no_error(programs: Path) -> None:
    _program(
        programs, "scancel", 'echo "$@" >> $(dirname $0)/calls; echo Invalid job id >&2; exit 1'
    )
    queue.scancel(map(str, range(201)))
    calls = (programs / "calls").read_text().splitlines()
    assert [len(call.split()) for call in calls] == [201, 2]
    _program(programs, "scancel", "echo 'Socket timed out on send/recv operation' >&2; exit 1")
    with pytest.raises(QueueBusy):
        queue.scancel(["1"])


def test_sbatch_sees_no_outer_job(monkeypatch: pytest.MonkeyPatch) -> None:
    outer = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "2", "CUDA_VISIBLE_DEVICES": "3"}
    kept = {"SLURM_CONF": "conf", "SBATCH_ACCOUNT": "mine", "HOME": "/home"}
    for name, value in (outer | kept).items():
        monkeypatch.setenv(name, value)
    with queue.outside_of_jobs():
        assert not set(outer) & set(os.environ)
        assert {name: os.environ[name] for name in kept} == kept
    assert {name: os.environ[name] for name in outer} == outer


def test_gpus_that_the_user_chose_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with queue.outside_of_jobs():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
