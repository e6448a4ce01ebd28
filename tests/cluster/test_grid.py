"""Rebar's smoke grid by `snakemake --profile slurm` on a real SLURM: the bits of a local run."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rebar import grid
from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.project import until
from tests.workflow.conftest import copy_project, environment, said, snakemake

pytestmark = pytest.mark.timeout(1500)
RESULTS = Path("results/smoke")
BASE = Path("models/0/raw/none/base")
# A training that lasts about 90 seconds, to be hit in.
LONGER = {
    "steps: 30\n": "steps: 6000\n",
    "checkpoint_every_steps: 10": "checkpoint_every_steps: 500",
}


def make_project(folder: Path) -> Path:
    """A copy with the root's symlink and one longer training, whose jobs keep a journal."""
    project = copy_project(folder)
    (project / "slurm").symlink_to("profiles/slurm")
    file = project / "config/smoke.yaml"
    text = file.read_text()
    for short, long in LONGER.items():
        assert text.count(short) == 1, short
        text = text.replace(short, long)
    file.write_text(text)
    return project


class Cluster:
    """A project, the SLURM it runs on and the driver that runs it."""

    COMMAND = ("snakemake", "--profile", "slurm", "--configfile", "config/smoke.yaml")
    # The site's business in a test of minutes: look and ask often, start anew at once.
    SITE = (
        *("--submitit-squeue-seconds", "1", "--seconds-between-status-checks", "1"),
        *("--latency-wait", "10", "--submitit-gone-seconds", "10", "--retries", "5"),
        *("--submitit-signal-seconds", "20", "all"),
    )

    def __init__(self, project: Path, slurm: PrivateSlurm) -> None:
        self.project, self.slurm = project, slurm
        self.environment = slurm.environment | environment(project)
        self.log = project / "driver.log"

    def start(self) -> subprocess.Popen:
        """A driver in a session of its own, as in a terminal."""
        with self.log.open("ab") as file:
            return subprocess.Popen(
                [*self.COMMAND, *self.SITE],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def finish(self, driver: subprocess.Popen) -> None:
        """Wait for the end of the last driver, and look at what it made."""
        assert driver.wait(900) == 0, self.log.read_text(errors="replace")[-5000:]
        assert not self.slurm.queue()

    def running(self) -> list[str]:
        """Ids of the running jobs."""
        return [line.split()[0] for line in self.slurm.queue() if line.endswith("RUNNING")]

    def summary(self) -> bytes:
        return (self.project / RESULTS / "summary.csv").read_bytes()


class Watch(threading.Thread):
    """Looks at all processes of the machine: does a job of the project run twice at once?"""

    def __init__(self, project: Path) -> None:
        super().__init__(daemon=True)
        self.project, self.over = project, threading.Event()
        self.seen: set[str] = set()
        self.twice: set[str] = set()

    def run(self) -> None:
        while not self.over.wait(0.2):
            jobs = [job for _, job in jobs_of(self.project)]
            self.seen |= set(jobs)
            self.twice |= {job for job in jobs if jobs.count(job) > 1}

    def finish(self) -> None:
        """Stop looking; nothing ran twice, and something was seen at all."""
        self.over.set()
        self.join()
        assert len(self.seen) > 10
        assert not self.twice


def jobs_of(project: Path) -> list[tuple[int, str]]:
    """Process and name of each job of the project that works now."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if words[1:3] == ["-m", "rebar"] and Path(process.cwd()) == project:
                spec = json.loads(words[words.index("--job") + 1])
                found.append((process.pid, grid.label(spec["stage"], spec["wildcards"])))
        except (psutil.Error, ValueError):  # it has ended, or is a command for people
            continue
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The summary of a local run that nothing disturbed."""
    project = make_project(tmp_path_factory.mktemp("quiet") / "project")
    result = snakemake(project, "--", "all")
    assert result.returncode == 0, said(result)[-5000:]
    return (project / RESULTS / "summary.csv").read_bytes()


@pytest.fixture
def cluster(tmp_path: Path, slurm: PrivateSlurm) -> Iterator[Cluster]:
    yield Cluster(make_project(tmp_path / "project"), slurm)
    slurm.clear()
    for node in set(slurm.nodes) - set(slurm.daemons):
        slurm.start_node(node)
    until(lambda: slurm.idle_nodes() == slurm.nodes, 60)


def test_the_smoke_grid_runs_by_its_documented_command(cluster: Cluster, expected: bytes) -> None:
    watch = Watch(cluster.project)
    watch.start()
    cluster.finish(cluster.start())
    watch.finish()
    assert cluster.summary() == expected
