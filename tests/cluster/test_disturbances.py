"""A training of Rebar's grid on a real SLURM, disturbed in every way that ends a job or a driver.

After each the grid finishes with the bits of a quiet run, and no job has met itself.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
import pytest

from tests.cluster.grids import (
    RESULTS,
    Grid,
    OnSlurm,
    run_quietly,
    small_project,
    up_to_training,
    write_config,
)
from tests.cluster.project import until
from tests.grid_runs import state_of

pytestmark = pytest.mark.timeout(3000)
STEPS, SAVED_EVERY = 1500, 50  # half a minute


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small grid, run quietly on this machine."""
    folder = tmp_path_factory.mktemp("quiet") / "project"
    return run_quietly(small_project(folder, steps=STEPS, checkpoint_every_steps=SAVED_EVERY))


def test_jobs_that_slurm_takes_or_that_fail(
    finished: Path, tmp_path: Path, on_slurm: OnSlurm
) -> None:
    grid = on_slurm(up_to_training(finished, tmp_path / "project"))
    driver = grid.start("--retries", "3")  # of these, the loss of the node takes one

    first = grid.training()
    grid.preempt()
    grid.wait_for_new_process(first)
    assert "told to stop: saved step" in grid.logs()

    second = grid.training()
    grid.slurm.run("scontrol", "requeue", second.job)
    grid.wait_for_new_process(second)

    third = grid.training()
    assert (third.job, third.restarts) == (first.job, 2)
    grid.slurm.lose_node(third.node)
    grid.wait_for_new_process(third)
    grid.slurm.restore()

    fourth = grid.training()
    assert (fourth.job, fourth.restarts) == (first.job, 3)
    fourth.process.kill()
    grid.wait_for_new_process(fourth)

    fifth = grid.training()
    assert fifth.job != first.job
    grid.slurm.run("scancel", fifth.job)
    grid.wait_for_new_process(fifth)

    grid.finish(driver)
    assert grid.logs().count("resumed at step") == 5
    assert state_of(grid.project / RESULTS) == state_of(finished / RESULTS)


def test_killed_drivers_and_time_that_runs_out(
    finished: Path, tmp_path: Path, on_slurm: OnSlurm
) -> None:
    grid = on_slurm(up_to_training(finished, tmp_path / "project"))
    driver = grid.start()
    first = grid.training()
    driver.kill()
    driver = grid.start()
    until(lambda: "taking it over" in driver.text, 60)
    second = grid.training()
    assert second.process == first.process
    driver.interrupt()
    assert driver.wait(60) != 0
    assert not grid.slurm.queue()

    driver = grid.start("--set-resources", "pretrain:runtime=1", "--submitit-signal-seconds", "10")
    while "told to stop: saved step" not in grid.logs():
        run_out_of_time(grid)
    grid.finish(driver)
    assert grid.logs().count("resumed at step") >= 2
    assert state_of(grid.project / RESULTS) == state_of(finished / RESULTS)


def run_out_of_time(grid: Grid) -> None:
    """Let the time end while the job trains, however fast this machine is."""
    training, before = grid.training(), grid.events().count("timeout")
    training.process.suspend()
    until(lambda: grid.events().count("timeout") > before, 90)
    with contextlib.suppress(psutil.NoSuchProcess):  # told before it could listen
        training.process.resume()
    grid.wait_for_new_process(training)


def test_two_nodes(finished: Path, tmp_path: Path, on_slurm: OnSlurm) -> None:
    """Two processes cut a batch as one process does in two parts: the same bits."""
    sizes = {"steps": STEPS // 4, "checkpoint_every_steps": SAVED_EVERY // 2}
    quiet = up_to_training(finished, tmp_path / "quiet")
    write_config(quiet, gradient_accumulation=2, **sizes)
    run_quietly(quiet)
    grid = on_slurm(up_to_training(finished, tmp_path / "project"))
    write_config(grid.project, nodes=2, **sizes)
    driver = grid.start()

    first = grid.training()
    grid.preempt()
    grid.wait_for_new_process(first)
    assert "told to stop: saved step" in grid.logs()

    second = grid.training()
    grid.workers()[1].kill()
    grid.wait_for_new_process(second)
    grid.finish(driver)
    assert grid.logs().count("resumed at step") == 2
    assert state_of(grid.project / RESULTS) == state_of(quiet / RESULTS)
