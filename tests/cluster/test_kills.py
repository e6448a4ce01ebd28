"""What ends a job or its driver before its time, on a real SLURM.

After each the work is done, resumed where it was saved, and no job overlapped itself.
"""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import pytest

from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.project import Project, until

ONE = ("--config", "num=1", "steps=60")


def _done(project: Project, steps: int = 60, num: int = 1) -> None:
    for x in range(num):
        assert project.read(f"out/train.{x}.txt").startswith(f"train.{x} {steps}.0 resumed at")
    project.assert_alone()


def test_sigkill(project: Project) -> None:
    driver = project.start("all", "--retries", "1", *ONE)
    os.kill(project.wait_for_step("train.0", 5)["pid"], signal.SIGKILL)
    assert driver.wait() == 0, driver.text
    assert "failed: train.x=0: command ended with exit status 1" in driver.text
    assert len(project.runs("train.0")) == 2
    _done(project)


def test_scancel(project: Project, slurm: PrivateSlurm) -> None:
    driver = project.start("all", "--retries", "1", *ONE)
    slurm.run("scancel", project.wait_for_step("train.0", 5)["job"])
    assert driver.wait() == 0, driver.text
    assert driver.text.count(" failed: ") == 1
    assert "failed: SLURM says CANCELLED" in driver.text
    assert len(project.runs("train.0")) == 2
    _done(project)


@pytest.mark.slow
def test_timeout_saves_requeues_and_resumes(project: Project) -> None:
    driver = project.start(
        "all", "--submitit-signal-seconds", "10", "--set-resources", "train:runtime=1",
        "--config", "num=1", "steps=700",
    )  # fmt: skip
    assert driver.wait(280) == 0, driver.text
    runs = project.runs("train.0")
    assert len(runs) >= 2
    for earlier, later in pairwise(runs):
        assert earlier[-1]["event"] == "saved"
        assert later[0]["step"] == earlier[-1]["step"]
    assert len({note["job"] for note in project.times("train.0")}) == 1
    assert "was requeued" in driver.text
    _done(project, 700)


@pytest.mark.slow
def test_out_of_time_too_often(project: Project) -> None:
    driver = project.drive(
        "all", "--submitit-signal-seconds", "10", "--submitit-max-requeues", "0",
        "--set-resources", "train:runtime=1", "--config", "num=1", "steps=700",
    )  # fmt: skip
    assert driver.process.returncode == 1
    assert "its 1 minutes ran out 1 times; --submitit-max-requeues allows 0" in driver.text


def test_preemption_saves_and_resumes(project: Project, slurm: PrivateSlurm) -> None:
    driver = project.start("all", "--submitit-max-requeues", "0", "--config", "num=1", "steps=100")
    project.wait_for_step("train.0", 5)
    slurm.run("sbatch", "-p", "high", "-N2", "-c4", "-o", "/dev/null", "--wrap", "sleep 3")
    assert driver.wait() == 0, driver.text
    first, second = project.runs("train.0")
    assert first[-1]["event"] == "saved"
    assert second[0]["step"] == first[-1]["step"] > 0
    assert first[0]["job"] == second[0]["job"]
    _done(project, 100)


def test_requeue_without_a_warning(project: Project, slurm: PrivateSlurm) -> None:
    """As preemption does at sites that send no signal before: SIGTERM, then the queue."""
    driver = project.start("all", *ONE)
    slurm.run("scontrol", "requeue", project.wait_for_step("train.0", 5)["job"])
    assert driver.wait() == 0, driver.text
    assert len(project.runs("train.0")) == 2
    assert len({note["job"] for note in project.times("train.0")}) == 1
    _done(project)


def _lose_node(project: Project, slurm: PrivateSlurm) -> None:
    job = project.wait_for_step("train.0", 5)["job"]
    node = slurm.run("squeue", "-h", "-j", job, "-o", "%N").stdout.strip()
    slurm.kill_node(node)


@pytest.mark.slow
def test_lost_node(project: Project, lossy: PrivateSlurm) -> None:
    """The old process lives on, as on a node that lost its network: it has to give way."""
    driver = project.start("all", "--retries", "1", "--config", "num=1", "steps=900")
    _lose_node(project, lossy)
    until(lambda: len(project.runs("train.0")) == 2, 90)
    assert driver.wait(200) == 0, driver.text
    assert len(project.runs("train.0")) == 2
    _done(project, 900)


@pytest.mark.slow
def test_lost_node_without_retries(project: Project, lossy: PrivateSlurm) -> None:
    driver = project.start("all", "--config", "num=1", "steps=2000")
    _lose_node(project, lossy)
    assert driver.wait() == 1
    assert "lost with its node 1 times; retries allow 0" in driver.text
    assert len(project.runs("train.0")) == 1


def test_killed_driver_takes_its_array_over(project: Project, slurm: PrivateSlurm) -> None:
    config = ("--config", "num=2", "steps=120")
    driver = project.start("all", *config)
    for x in range(2):
        project.wait_for_step(f"train.{x}", 3)
    driver.kill()
    assert len(slurm.queue()) == 2
    driver = project.drive("all", *config)
    assert driver.process.returncode == 0, driver.text
    assert driver.text.count("taking it over") == 2
    assert [len(project.runs(f"train.{x}")) for x in range(2)] == [1, 1]
    _done(project, 120, num=2)


def test_killed_driver_and_another_parameter(project: Project) -> None:
    driver = project.start("all", "--config", "num=1", "steps=500")
    project.wait_for_step("train.0", 3)
    driver.kill()
    driver = project.drive("all", "--config", "num=1", "steps=30")
    assert driver.process.returncode == 0, driver.text
    assert "still runs with an older command or inputs; cancelling that run" in driver.text
    _done(project, 30)


def test_driver_killed_while_it_submits(project: Project, slurm: PrivateSlurm) -> None:
    """sbatch has submitted, and nobody has heard of it."""
    folder = project.folder / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text('#!/bin/bash\n/usr/bin/sbatch "$@"\ntouch accepted\nsleep 60\n')
    (folder / "sbatch").chmod(0o755)
    path = project.environment["PATH"]
    project.environment["PATH"] = f"{folder}:{path}"
    driver = project.start("all", *ONE)
    until((project.folder / "accepted").exists, 30)
    driver.kill()
    assert len(slurm.queue()) == 1
    project.environment["PATH"] = path
    driver = project.drive("all", *ONE)
    assert driver.process.returncode == 0, driver.text
    assert len(project.runs("train.0")) == 1
    assert slurm.queue() == []
    _done(project)


def test_ctrl_c_leaves_the_queue_empty(project: Project, slurm: PrivateSlurm) -> None:
    config = ("--config", "num=3", "steps=100")
    driver = project.start("all", *config)
    project.wait_for_step("train.1", 3)
    driver.interrupt()
    assert driver.wait(60) != 0
    assert slurm.queue() == []
    driver = project.drive("all", *config)
    assert driver.process.returncode == 0, driver.text
    _done(project, 100, num=3)
