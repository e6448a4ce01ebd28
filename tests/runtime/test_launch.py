"""The commands that start several processes, and what is said when they cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rebar.cli.main import main
from rebar.config.file import parse_config
from rebar.config.model import Training
from rebar.runtime import launch
from rebar.training.checkpoints import checkpoint_files
from tests.conftest import ROOT
from tests.model.tiny import settings
from tests.stages import training_jobs as jobs

WORKER = ["-m", "rebar", "pretrain", "--results", "r", "--job", "j"]
SLURM = {
    "SLURM_JOB_ID": "123",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_JOB_CPUS_PER_NODE": "4(x2)",
}


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*SLURM, "SLURM_RESTART_COUNT", "MASTER_ADDR"]:
        monkeypatch.delenv(name, raising=False)


def test_processes_of_one_node_meet_on_the_loopback() -> None:
    command = launch.command(settings(batch_size=8, processes_per_node=4), WORKER)
    assert command[0] == sys.executable
    assert " ".join(command[1:]) == (
        "-m rebar.runtime.elastic --nnodes=1 --nproc-per-node=4 --standalone "
        "--local-addr=127.0.0.1 -m rebar pretrain --results r --job j"
    )


@pytest.mark.parametrize(("restarts", "port"), [("", 10123), ("0", 10123), ("2", 12141)])
def test_nodes_meet_on_a_port_of_this_start_of_the_job(
    monkeypatch: pytest.MonkeyPatch, restarts: str, port: int
) -> None:
    for name, value in (SLURM | {"MASTER_ADDR": "127.0.0.1"}).items():
        monkeypatch.setenv(name, value)
    if restarts:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    command = launch.command(settings(nodes=2, processes_per_node=2), WORKER)
    assert command[8:12] == ["bash", "-c", "trap '' USR2; exec \"$@\"", "bash"]
    assert " ".join(command[:8]) == (
        "srun --overlap --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=4 "
        "--mem=0 --kill-on-bad-exit=1"
    )
    assert command[12] == sys.executable
    assert " ".join(command[13:]) == (
        "-m rebar.runtime.elastic --nnodes=2 --nproc-per-node=2 --rdzv-backend=c10d "
        f"--rdzv-endpoint=127.0.0.1:{port} --rdzv-id=123-{restarts or 0} "
        "-m rebar pretrain --results r --job j"
    )


def test_the_first_node_is_where_they_meet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "scontrol"
    script.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] && printf "n1\\nn2\\n"\n')
    script.chmod(0o755)
    for name, value in (SLURM | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}).items():
        monkeypatch.setenv(name, value)
    command = launch.command(settings(nodes=2), WORKER)
    assert "--rdzv-endpoint=n1:10123" in command


def test_several_nodes_need_as_many_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"nodes is 2, but this is no SLURM job; run it as a job"):
        launch.command(settings(nodes=2), WORKER)
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "1")
    with pytest.raises(ValueError, match="nodes is 2, but this SLURM job has 1; run it"):
        launch.command(settings(nodes=2), WORKER)


def test_a_batch_is_shared_equally() -> None:
    with pytest.raises(ValueError, match=r"batch_size 4 must be a multiple .* \(2 x 3 x 2\)"):
        settings(nodes=2, processes_per_node=3, gradient_accumulation=2)


def test_attacks_are_one_process() -> None:
    values = jobs.config().model_dump(mode="json")
    values["attacks"]["harmful_finetune_10"]["training"]["processes_per_node"] = 2
    with pytest.raises(ValueError, match=r"attacks\.harmful_finetune_10\.training: an attack is"):
        parse_config(values, "test")


def test_only_a_training_of_several_processes_is_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, several = jobs.config(), jobs.config(processes_per_node=2)
    assert not launch.is_needed(jobs.job(one, tmp_path, "pretrain"))
    assert launch.is_needed(jobs.job(several, tmp_path, "pretrain"))
    assert not launch.is_needed(jobs.job(several, tmp_path, "attack"))
    assert not launch.is_needed(jobs.job(several, tmp_path, "align"))
    training = jobs.job(several, tmp_path, "align").training
    assert isinstance(training, Training) and training.steps == jobs.STEPS["align"]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert not launch.is_needed(jobs.job(several, tmp_path, "pretrain"))


@pytest.mark.parametrize(("status", "expected"), [(75, 75), (143, 75), (1, 1)])
def test_only_what_has_saved_or_was_ended_counts_as_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, expected: int
) -> None:
    script = f"sleep 0.5; kill -USR2 $PPID; sleep 0.2; exit {status}"
    monkeypatch.setattr(launch, "command", lambda *_: ["bash", "-c", script])
    before = signal.getsignal(signal.SIGUSR2)
    try:
        several = jobs.config(processes_per_node=2)
        assert launch.launch(jobs.job(several, tmp_path, "pretrain"), []) == expected
    finally:
        signal.signal(signal.SIGUSR2, before)


SLOWLY = "if os.environ['RANK'] == '0': time.sleep(60)\n"  # it is still sending its points


@pytest.mark.parametrize(
    ("before", "workers", "expected", "has_trace"),
    [("", 75, 75, False), (SLOWLY, 75, 75, False), ("", 3, 1, True), (SLOWLY, 3, 1, True)],
)
def test_a_launcher_leaves_as_its_workers(
    tmp_path: Path, before: str, workers: int, expected: int, has_trace: bool
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(f"import os, sys, time\n{before}sys.exit({workers})")
    run = [sys.executable, "-m", "rebar.runtime.elastic", "--nnodes=1", "--nproc-per-node=2"]
    run += ["--standalone", "--local-addr=127.0.0.1", str(worker)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    result = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == expected
    assert ("Traceback" in result.stderr) == has_trace


@pytest.mark.slow
def test_two_processes_told_to_stop_end_with_the_same_bits(tmp_path: Path) -> None:
    several = jobs.config(processes_per_node=2, steps=300)
    quiet, told = tmp_path / "quiet", tmp_path / "told"
    for root in (quiet, told):
        jobs.pack(root, several)
    assert jobs.start(several, quiet, "pretrain").wait() == 0
    checkpoints = jobs.job(several, told, "pretrain").checkpoints
    process = jobs.start(several, told, "pretrain")
    jobs.wait_until_it_trains(process, checkpoints)
    os.killpg(process.pid, signal.SIGUSR2)
    assert process.wait() == 75
    assert len(checkpoint_files(checkpoints)) == 1
    assert jobs.start(several, told, "pretrain").wait() == 0
    assert jobs.content(told, "models") == jobs.content(quiet, "models")


@pytest.mark.slow
def test_workers_end_with_their_launcher(tmp_path: Path) -> None:
    import psutil

    several = jobs.config(processes_per_node=2, steps=100_000)
    jobs.pack(tmp_path, several)
    process = jobs.start(several, tmp_path, "pretrain")
    jobs.wait_until_it_trains(process, jobs.job(several, tmp_path, "pretrain").checkpoints)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_job_of_several_nodes_elsewhere_is_one_sentence(tmp_path: Path) -> None:
    several = jobs.config(nodes=2)
    with pytest.raises(SystemExit, match=r"^error: training\.nodes is 2, but this is no"):
        main(jobs.arguments(several, tmp_path, "pretrain"))
