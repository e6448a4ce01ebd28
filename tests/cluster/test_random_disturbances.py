"""Sampled disturbances of jobs, nodes and driver while the smoke grid runs, then the same command.

`DISTURBANCE_SEED=n` repeats a choice; when each of its disturbances comes is another matter.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from tests.cluster.grids import LONGER, RESULTS, Grid, OnSlurm, working
from tests.grid_runs import state_of
from tests.workflow.conftest import project_with_longer_trainings

pytestmark = pytest.mark.timeout(3000)
SECONDS = 150


class Storm:
    """Disturbs a grid and starts its driver again whenever that has ended."""

    def __init__(self, grid: Grid, seed: int) -> None:
        self.grid, self.slurm = grid, grid.slurm
        self.random = random.Random(seed)
        self.driver = grid.start()
        self.counts = dict.fromkeys(self.KINDS, 0)

    def blow(self, seconds: float) -> None:
        """Disturb for so long, or until the grid is finished."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.driver.process.poll() != 0:
            time.sleep(self.random.uniform(4, 12))
            if self.driver.process.poll():  # a job has failed too often
                self.driver = self.grid.start()
            kind = self.random.choice(list(self.KINDS))
            target = self.KINDS[kind](self)
            self.counts[kind] += target is not None
            print(f"{time.strftime('%X')} {kind}: {target}", flush=True)
        self.slurm.restore()

    def kill_process(self) -> str | None:
        if not (found := working(self.grid.project)):
            return None
        chosen = self.random.choice(found)
        with contextlib.suppress(psutil.NoSuchProcess):
            chosen.process.kill()
        return chosen.label

    def cancel(self) -> str | None:
        return self._tell("scancel")

    def requeue(self) -> str | None:
        return self._tell("scontrol", "requeue")

    def _tell(self, *command: str) -> str | None:
        """Give SLURM a command about one of its jobs, which may just have ended."""
        if not (queue := self.slurm.queue()):
            return None
        chosen = self.random.choice(queue)
        self.slurm.run(*command, chosen.split()[0], check=False)
        return chosen

    def preempt(self) -> str:
        return self.grid.preempt(self.random.choice((1, 2)))

    def lose_or_restore_node(self) -> str:
        if len(self.slurm.daemons) <= len(self.slurm.nodes):  # with the controller: one is lost
            self.slurm.restore()
            return "restored"
        node = self.random.choice(self.slurm.nodes)
        self.slurm.lose_node(node)
        return node

    def kill_driver(self) -> str:
        self.driver.kill()
        self.driver = self.grid.start()
        return "started again"

    def interrupt_driver(self) -> str:
        self.driver.interrupt()
        status = self.driver.wait(150)
        self.driver = self.grid.start()
        return f"left with {status}, started again"

    KINDS: ClassVar[dict[str, Callable]] = {
        "SIGKILL": kill_process,
        "scancel": cancel,
        "scontrol requeue": requeue,
        "preemption": preempt,
        "node": lose_or_restore_node,
        "driver's SIGKILL": kill_driver,
        "driver's Ctrl-C": interrupt_driver,
    }


def test_any_disturbances(tmp_path: Path, on_slurm: OnSlurm, quiet_state: dict[str, str]) -> None:
    seed = int(os.environ.get("DISTURBANCE_SEED", time.time_ns() % 2**32))
    print(f"DISTURBANCE_SEED={seed}")
    project = project_with_longer_trainings(tmp_path / "project", LONGER)
    grid = on_slurm(project)
    storm = Storm(grid, seed)
    storm.blow(SECONDS)
    assert sum(storm.counts.values()) > 5, storm.counts
    storm.driver.kill()
    grid.finish(grid.start(), at_least=10)
    assert state_of(project / RESULTS) == quiet_state
