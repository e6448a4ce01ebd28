"""Rebar's smoke grid by `snakemake --profile slurm` on a real SLURM: the bits of a local run."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psutil
import pytest

from rebar import grid
from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.project import start_driver
from tests.workflow.conftest import environment, project_with_longer_trainings, said, snakemake

pytestmark = pytest.mark.timeout(1500)
RESULTS = Path("results/smoke")
LONGER = {
    "steps: 30\n": "steps: 6000\n",
    "checkpoint_every_steps: 10": "checkpoint_every_steps: 500",
}
# The documented command; the rest is a site's business in a test of minutes: look and ask often.
COMMAND = [
    *("snakemake", "--profile", "slurm", "--configfile", "config/smoke.yaml"),
    *("--submitit-squeue-seconds", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "10", "--submitit-gone-seconds", "10", "all"),
]


class Watch(threading.Thread):
    """Looks at all processes of the machine: does a job of the project run twice at once?"""

    def __init__(self, project: Path) -> None:
        super().__init__(daemon=True)
        self.project, self.over = project, threading.Event()
        self.seen: set[str] = set()
        self.twice: set[str] = set()

    def run(self) -> None:
        while not self.over.wait(0.2):
            jobs = jobs_of(self.project)
            self.seen |= set(jobs)
            self.twice |= {job for job in jobs if jobs.count(job) > 1}

    def finish(self) -> None:
        """Stop looking; nothing ran twice, and something was seen at all."""
        self.over.set()
        self.join()
        assert len(self.seen) > 10
        assert not self.twice


def jobs_of(project: Path) -> list[str]:
    """Each job of the project that works now, once a process."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if words[1:3] == ["-m", "rebar"] and Path(process.cwd()) == project:
                spec = json.loads(words[words.index("--job") + 1])
                found.append(grid.label(spec["stage"], spec["wildcards"]))
        except (psutil.Error, ValueError):  # it has ended, or is a command for people
            continue
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The summary of a local run that nothing disturbed."""
    project = project_with_longer_trainings(tmp_path_factory.mktemp("quiet") / "project", LONGER)
    result = snakemake(project, "--", "all")
    assert result.returncode == 0, said(result)[-5000:]
    return (project / RESULTS / "summary.csv").read_bytes()


def test_the_smoke_grid_runs_by_its_documented_command(
    tmp_path: Path, slurm: PrivateSlurm, expected: bytes
) -> None:
    project = project_with_longer_trainings(tmp_path / "project", LONGER)
    (project / "slurm").symlink_to("profiles/slurm")
    watch = Watch(project)
    watch.start()
    there = slurm.environment | environment(project)
    driver = start_driver(COMMAND, project, there, project / "driver.log")
    assert driver.wait(900) == 0, driver.text[-5000:]
    watch.finish()
    assert not slurm.queue()
    assert (project / RESULTS / "summary.csv").read_bytes() == expected
