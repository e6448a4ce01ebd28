"""GPUs of a machine are shared out among its jobs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rebar.runtime import gpus


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpus, "POLL_SECONDS", 0.01)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv(gpus.VISIBLE, "0,1,2")


def test_two_jobs_never_share_one() -> None:
    with gpus.take_gpus(1, "a"):
        assert os.environ[gpus.VISIBLE] == "0"
        os.environ[gpus.VISIBLE] = "0,1,2"  # as another process sees the machine
        with gpus.take_gpus(2, "b"):
            assert os.environ[gpus.VISIBLE] == "1,2"


def test_a_job_waits_until_enough_are_free() -> None:
    entered = threading.Event()

    def wait() -> None:
        with gpus.take_gpus(3, "b"):
            entered.set()

    with gpus.take_gpus(1, "a"):
        os.environ[gpus.VISIBLE] = "0,1,2"
        other = threading.Thread(target=wait)
        other.start()
        assert not entered.wait(0.1)
    other.join(5)
    assert entered.is_set()


def test_a_job_without_gpus_sees_none() -> None:
    with gpus.take_gpus(0, "a"):
        assert os.environ[gpus.VISIBLE] == ""


def test_slurm_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(gpus.VISIBLE, "5")
    with gpus.take_gpus(1, "a"):
        assert os.environ[gpus.VISIBLE] == "5"


def test_a_machine_without_gpus_computes_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(gpus.VISIBLE, "")
    with gpus.take_gpus(2, "pretrain 1/raw/none"):
        assert os.environ[gpus.VISIBLE] == ""
    assert capsys.readouterr().out == (
        "pretrain 1/raw/none: asked for 2 GPUs, this machine offers 0: on the CPU\n"
    )
