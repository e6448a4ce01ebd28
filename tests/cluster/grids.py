"""A small Rebar grid on a SLURM, its one training, and a watch over what runs."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from rebar import grid
from rebar.training.checkpoints import checkpoint_files
from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.project import PLUGIN, Driver, start_driver, until
from tests.conftest import ROOT
from tests.workflow.conftest import copy_project, environment, said, snakemake

RESULTS = Path("results/smoke")
MODEL = Path("models/11/raw/none/base")
LONGER = {  # trainings of the smoke grid that last, to be hit in
    "steps: 250\n": "steps: 1800\n",
    "checkpoint_every_steps: 50": "checkpoint_every_steps: 150",
}
# The documented command; the rest is a site's business in a test of minutes: look and ask often.
COMMAND = [
    *("snakemake", "--profile", "slurm", "--configfile", "config/smoke.yaml"),
    *("--submitit-squeue-seconds", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "10", "--submitit-gone-seconds", "10"),
]


def small_project(folder: Path, **pretrain: int) -> Path:
    """A copy of the project whose smoke config is cut to one base model."""
    project = copy_project(folder)
    write_config(project, **pretrain)
    return project


def write_config(project: Path, **pretrain: int) -> None:
    """The smoke config with the fewest jobs that end in a summary; `pretrain` changes settings."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    block = values["grid"][0] | {"recipes": ["raw"]}
    values |= {"alignments": {}, "attacks": {}, "probes": {}, "grid": [block]}
    values |= {"report": {"control_alignment": "none"}}
    values["recipes"] = {"raw": values["recipes"]["raw"]}
    values["decoders"] = {"greedy": values["decoders"]["greedy"]}
    values["pretrain"] |= pretrain
    (project / "config/smoke.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def run_quietly(project: Path) -> Path:
    """Run the project's grid on this machine, undisturbed."""
    result = snakemake(project, "--", "all")
    assert result.returncode == 0, said(result)[-5000:]
    return project


def up_to_training(finished: Path, folder: Path) -> Path:
    """A copy of a finished project in which the model and all that follows is to be made again."""
    shutil.copytree(finished, folder, symlinks=True)
    for path in (folder / RESULTS).iterdir():
        if path.name not in ("corpus", "classifier"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


class Working(NamedTuple):
    """A process that works on a job of a project."""

    label: str  # `pretrain 11/raw/none`
    process: psutil.Process


class Training(NamedTuple):
    """The process that trains, and what SLURM said of it while it lived."""

    process: psutil.Process
    job: str
    node: str
    restarts: int


def working(project: Path) -> list[Working]:
    """Each job of the cluster that works now, once a process; without a launcher's workers."""
    found = {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if words[1:3] == ["-m", "rebar"] and Path(process.cwd()) == project:
                spec = json.loads(words[words.index("--job") + 1])
                if spec["stage"] in grid.JOB_STAGES:  # the others run beside the driver
                    found[process] = grid.label(spec["stage"], spec["wildcards"])
        except (psutil.Error, ValueError):  # it has ended, or is a command for people
            continue
    # Between fork and exec a child carries its parent's command line.
    return [Working(label, each) for each, label in found.items() if _parent(each) not in found]


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


class Watch(threading.Thread):
    """Looks at all processes of the machine: does a job of the project run twice at once?"""

    def __init__(self, project: Path) -> None:
        super().__init__(daemon=True)
        self.project, self.over = project, threading.Event()
        self.seen: set[str] = set()
        self.twice: set[str] = set()

    def run(self) -> None:
        while not self.over.wait(0.2):
            jobs = [each.label for each in working(self.project)]
            self.seen |= set(jobs)
            self.twice |= {job for job in jobs if jobs.count(job) > 1}

    def finish(self, at_least: int) -> None:
        """Stop looking; nothing ran twice, and so many jobs were seen."""
        self.over.set()
        self.join()
        assert len(self.seen) >= at_least, self.seen
        assert not self.twice


class Grid:
    """A project's grid on a SLURM, driven by its documented command and watched."""

    def __init__(self, project: Path, slurm: PrivateSlurm) -> None:
        self.project, self.slurm = project, slurm
        self.watch = Watch(project)
        self.watch.start()
        self.num_drivers = self.step = 0
        self.environment = slurm.environment | environment(project)
        self.environment["PYTHONPATH"] += f"{os.pathsep}{PLUGIN}"
        self.environment["MASTER_ADDR"] = "127.0.0.1"  # the nodes' names do not resolve

    def start(self, *arguments: str) -> Driver:
        """Start a driver; the caller waits for it or kills it."""
        self.num_drivers += 1
        log = self.project / f"driver.{self.num_drivers}.log"
        command = [*COMMAND, *arguments, "--", "all"]
        self.driver = start_driver(command, self.project, self.environment, log)
        return self.driver

    def close(self) -> None:
        """Leave nothing behind, also when the test has failed."""
        self.watch.over.set()
        self.driver.kill()

    def training(self) -> Training:
        """Wait until the training has saved since the last call or start."""
        return until(self._hit, 300)

    def _hit(self) -> Training | None:
        found = [each for each in working(self.project) if "pretrain" in each.label]
        newest = self._newest()
        if not found or newest <= self.step:
            return None
        self.step = newest
        process = found[0].process
        names = process.environ()
        restarts = int(names.get("SLURM_RESTART_COUNT", "0"))
        return Training(process, names["SLURM_JOB_ID"], names["SLURMD_NODENAME"], restarts)

    def _newest(self) -> int:
        """Step of the newest checkpoint."""
        files = checkpoint_files(self.project / RESULTS / "checkpoints" / MODEL)
        return int(files[-1].stem.partition("-")[2]) if files else 0

    def workers(self) -> list[psutil.Process]:
        """Processes of the training that a launcher has started."""
        words, here = ["-u", "-m", "rebar", "pretrain"], str(self.project)
        found = psutil.process_iter(["cmdline", "cwd"])  # None where it has ended
        return [
            p for p in found if (p.info["cmdline"] or [])[1:5] == words and p.info["cwd"] == here
        ]

    def preempt(self, nodes: int = 2) -> str:
        """Submit a short job that takes so many whole nodes away."""
        rest = ("-c4", "-o", "/dev/null", "--wrap", "sleep 1")
        return self.slurm.run("sbatch", "-p", "high", f"-N{nodes}", *rest).stdout.strip()

    def wait_for_new_process(self, old: Training) -> None:
        """Wait until the training runs again."""
        until(lambda: self._has_replaced(old), 200)
        self.step = self._newest()

    def _has_replaced(self, old: Training) -> bool:
        found = [each.process for each in working(self.project) if "pretrain" in each.label]
        return bool(found) and old.process not in found

    def logs(self, pattern: str = "*_log.out") -> str:
        """All that jobs printed, or noted in other files."""
        files = (self.project / ".snakemake/submitit").rglob(pattern)
        return "".join(path.read_text() for path in sorted(files, key=lambda f: f.stat().st_mtime))

    def events(self) -> list[str]:
        """What the executor noted of its jobs."""
        return [json.loads(line)["event"] for line in self.logs("*_history.jsonl").splitlines()]

    def finish(self, driver: Driver, at_least: int = 2) -> None:
        """The grid ends well, nothing is left in the queue, no job met itself."""
        assert driver.wait(600) == 0, driver.text[-5000:]
        self.watch.finish(at_least)
        assert not self.slurm.queue()
        assert not working(self.project)


OnSlurm = Callable[[Path], Grid]  # of the fixture `on_slurm`
