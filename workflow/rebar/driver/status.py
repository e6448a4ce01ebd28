"""How far a grid is, and what can go: `python -m rebar status` and `python -m rebar prune`."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rebar import grid
from rebar.config.file import Config, load_config
from rebar.cost.resources import resources
from rebar.grid import dag
from rebar.jobs.formats import terminal_table
from rebar.jobs.manifest import MANIFEST, find_manifests

STATES = ("done", "running", "failed", "waiting")


class State(NamedTuple):
    """A job, how it stands, and what it has cost."""

    stage: str
    state: str
    seconds: float
    gpu_hours: float
    log: Path


def states(config: Config, root: Path) -> list[State]:
    """Every job of the grid in the order of the DAG; `root` is results/<name>."""
    return [_state(config, root, place) for place in dag.all_jobs(config)]


def _state(config: Config, root: Path, place: Path) -> State:
    stage, names = dag.node(place)
    log = root / "logs" / stage / f"{place}.log"
    costs = root / place / "costs.json"
    content = json.loads(costs.read_text(encoding="utf-8")) if costs.exists() else {}
    seconds = float(content.get("seconds", 0))
    asks = resources(config, stage, names)
    gpu_hours = asks.gpus * asks.nodes * seconds / 3600
    return State(stage, _job_state(root, place, stage, names, log), seconds, gpu_hours, log)


def _job_state(root: Path, place: Path, stage: str, names: dict, log: Path) -> str:
    if _is_held(root / grid.lock_file(stage, names)):
        return "running"
    if (root / place / MANIFEST).exists():
        return "done"
    return "failed" if log.exists() else "waiting"


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_running(root: Path) -> bool:
    """Whether any job holds its lock."""
    return any(_is_held(path) for path in (root / "locks").glob("*.lock"))


def status_lines(config: Config, root: Path) -> Iterator[str]:
    """Jobs by stage and state, cost so far, and the logs of what failed."""
    found = states(config, root)
    rows = [_status_row(found, stage) for stage in (*grid.JOB_STAGES, "all")]
    yield from terminal_table(["stage", *STATES, "hours", "GPU-h"], rows).splitlines()
    failed = [row for row in found if row.state == "failed"]
    if failed:
        yield "not finished and not running now; their logs:"
        yield from (f"  {row.log}" for row in failed)


def _status_row(found: list[State], stage: str) -> list[str]:
    """Jobs of a stage, or of `all`, by state, with their hours and GPU hours."""
    jobs = [job for job in found if stage in (job.stage, "all")]
    counts = [sum(job.state == word for job in jobs) for word in STATES]
    hours = sum(job.seconds for job in jobs) / 3600
    gpu_hours = sum(job.gpu_hours for job in jobs)
    return [stage, *map(str, counts), f"{hours:.2f}", f"{gpu_hours:.1f}"]


class Removable(NamedTuple):
    """A folder that can go, and why."""

    folder: Path
    reason: str
    size: int


def find_removable(files: list[str], root: Path) -> list[Removable]:
    """Folders that no config of these needs any more.

    Items of arms that are in no grid, and checkpoints of jobs that are finished or dropped. What
    another config with the same `name` uses stays, so all of them are given.
    """
    jobs, items = set[Path](), set[Path]()
    for config in map(load_config, files):
        places = dag.all_jobs(config)
        jobs |= set(places)
        items |= {item for place in places for item in dag.items(config, place)}
    made = sorted(path.parent for path in find_manifests(root))  # a job's before its items'
    dropped = _outermost(path for path in made if path.relative_to(root) not in jobs | items)
    trained = {path.parent for path in (root / "checkpoints").rglob("*.safetensors")}
    spent = {path for path in trained if _is_spent(path, jobs, root)}
    return [
        *(Removable(path, "in no grid of these configs", _size(path)) for path in dropped),
        *(Removable(path, "checkpoints of a finished run", _size(path)) for path in sorted(spent)),
    ]


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those that lie in another one."""
    found: list[Path] = []
    for path in paths:
        if not any(other in path.parents for other in found):
            found.append(path)
    return found


def _is_spent(checkpoint: Path, jobs: set[Path], root: Path) -> bool:
    place = checkpoint.relative_to(root / "checkpoints")
    owner = next((path for path in (place, *place.parents) if path in jobs), None)
    return owner is None or (root / owner / MANIFEST).exists()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def configs_sharing(configfile: str, name: str) -> list[str]:
    """Config files of the same folder whose results lie in the same place."""
    found = [configfile]
    for path in sorted(Path(configfile).parent.glob("*.yaml")):
        if str(path) != configfile and _name_of(path) == name:
            found.append(str(path))
    return found


def _name_of(path: Path) -> str:
    try:
        return load_config(path).name
    except ValueError:  # a file that is no config shares nothing
        return ""


def prune(rows: list[Removable], *, delete: bool) -> Iterator[str]:
    """Say what goes, and remove it when told to."""
    for row in rows:
        yield f"{row.folder}  {row.size / 1e6:.1f} MB  {row.reason}"
        if delete:
            shutil.rmtree(row.folder)
    total = sum(row.size for row in rows) / 1e6
    if delete:
        yield f"removed {len(rows)} folders, {total:.1f} MB"
    elif rows:
        yield f"{len(rows)} folders, {total:.1f} MB: nothing is removed without --delete"
    else:
        yield "nothing to remove"
