"""The command in this process, as submitit calls it on a node of its local cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit import claim, command
from snakemake_executor_plugin_submitit.command import Command, JobFailed
from snakemake_executor_plugin_submitit.history import START, TIMEOUT, History

SAVES = """python3 -c '
import signal, sys, time
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75))
open("up", "w")
time.sleep(30)
'"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "5")
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path))
    folder = claim.folder_of(tmp_path, "target")
    claim.grant(folder, "run/1")
    return Command(
        shell="true", name="train.x=1", token="run/1", claims=(folder,), minutes=1,
        signal_seconds=30, max_requeues=3, max_losses=0, is_debug=False, is_slurm=False,
    )  # fmt: skip


@pytest.fixture
def requeued(monkeypatch: pytest.MonkeyPatch):
    """submitit's handler, which requeues and leaves the process."""
    calls = []

    def handler(number: int, frame: object) -> None:
        calls.append(number)
        raise SystemExit(255)

    before = signal.signal(signal.SIGUSR2, handler)
    yield calls
    signal.signal(signal.SIGUSR2, before)


def _soon(path: Path, number: int) -> None:
    """Send a signal to this process when the command is up."""

    def send() -> None:
        while not path.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def test_success(job: Command, capfd: pytest.CaptureFixture[str]) -> None:
    assert replace(job, shell="echo done; env | grep ^SUBMITIT_ || true")() == "train.x=1"
    assert capfd.readouterr().out == "done\n"
    assert History(Path("5_history.jsonl")).events == ["start", "end"]


def test_failures(job: Command) -> None:
    with pytest.raises(JobFailed, match=r"train\.x=1: command ended with exit status 3"):
        replace(job, shell="exit 3")()
    with pytest.raises(JobFailed, match=r"train\.x=1: killed by SIGKILL"):
        replace(job, shell="kill -9 $$")()


def test_nothing_outlives_the_command(job: Command) -> None:
    replace(job, shell="(trap '' TERM; sleep 50) & echo $! > pid")()
    assert _is_gone(Path("pid").read_text().strip())


def test_nothing_outlives_a_killed_watcher(job: Command) -> None:
    """submitit kills the process of a `local` job one second after Ctrl-C, ready or not."""
    stubborn = "(trap '' TERM INT; echo $BASHPID > pid.new; mv pid.new pid; sleep 50) & wait"
    process = multiprocessing.get_context("fork").Process(target=replace(job, shell=stubborn))
    process.start()
    _until(Path("pid").exists)
    process.kill()
    process.join()
    pid = Path("pid").read_text().strip()
    _until(lambda: _is_gone(pid))


def _is_gone(pid: str) -> bool:
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "not so after 20 s"
        time.sleep(0.02)


def test_the_signal_saves_and_requeues(job: Command, requeued: list[int], tmp_path: Path) -> None:
    _soon(tmp_path / "up", signal.SIGUSR2)
    began = time.monotonic()
    with pytest.raises(SystemExit):
        replace(job, shell=SAVES)()
    assert time.monotonic() - began < 10
    assert requeued == [signal.SIGUSR2]
    assert History(Path("5_history.jsonl")).events == ["start", "timeout"]


def test_a_command_that_finishes_in_time_is_not_requeued(
    job: Command, requeued: list[int], tmp_path: Path
) -> None:
    _soon(tmp_path / "up", signal.SIGUSR2)
    shell = SAVES.replace("75", "0")
    assert replace(job, shell=shell)() == "train.x=1"
    assert requeued == []


def test_a_signal_long_before_the_end_is_a_preemption(
    job: Command, requeued: list[int], tmp_path: Path
) -> None:
    _soon(tmp_path / "up", signal.SIGUSR2)
    with pytest.raises(SystemExit):
        replace(job, shell=SAVES, minutes=5, max_requeues=0)()
    assert History(Path("5_history.jsonl")).events == ["start", "preempted"]


def test_too_many_timeouts(job: Command, requeued: list[int], tmp_path: Path) -> None:
    for event in (START, TIMEOUT):
        History(Path("5_history.jsonl")).note(event)
    _soon(tmp_path / "up", signal.SIGUSR2)
    with pytest.raises(JobFailed, match=r"its 1 minutes ran out 2 times; .* allows 1"):
        replace(job, shell=SAVES, max_requeues=1)()
    assert requeued == []


def test_a_busy_controller_is_asked_again_for_the_requeue(
    job: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def handler(number: int, frame: object) -> None:
        calls.append(number)
        if len(calls) < 3:
            raise subprocess.CalledProcessError(1, "scontrol")
        raise SystemExit(255)

    monkeypatch.setattr(command.time, "sleep", lambda seconds: None)
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with command._Signals() as signals, pytest.raises(SystemExit):
            signals.requeue()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert len(calls) == 3


def test_losses_are_counted(job: Command) -> None:
    History(Path("5_history.jsonl")).note(START)
    with pytest.raises(JobFailed, match="lost with its node 1 times; retries allow 0"):
        job()


def test_a_replaced_run_ends_itself(
    job: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CHECK_SECONDS", 0.1)

    def replace_it() -> None:
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
        claim.grant(job.claims[0], "run/2")

    threading.Thread(target=replace_it, daemon=True).start()
    with pytest.raises(SystemExit, match=r"train\.x=1: submission run/1 was replaced by run/2"):
        replace(job, shell="echo $$ > up; sleep 30")()
    assert not Path(f"/proc/{(tmp_path / 'up').read_text().strip()}").exists()


def test_debug_uses_no_files(job: Command, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert replace(job, is_debug=True, claims=())() == "train.x=1"
    with pytest.raises(JobFailed, match="exit status 4"):
        replace(job, is_debug=True, claims=(), shell="exit 4")()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_command_that_slurm_ends_leaves_no_result(job: Command, tmp_path: Path) -> None:
    """SLURM signals all processes, the command's included."""
    _soon(tmp_path / "up", signal.SIGTERM)
    with pytest.raises(SystemExit, match=r"train\.x=1: ended by SLURM"):
        replace(job, shell="trap 'exit 143' TERM; echo > up; sleep 1; kill $$", is_slurm=True)()
    assert History(Path("5_history.jsonl")).events == ["start", "terminated"]
