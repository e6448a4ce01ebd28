"""Finished folders as a tracking store wants them: runs with names, tags, parameters, points.

Everything is read from the files; nothing here imports mlflow. A run is identified by its path and
the digest of its spec, so that the job that trains and the later import write to the same run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rebar import grid
from rebar.config.base import NONE
from rebar.grid.hub_access import ids_in
from rebar.jobs.formats import read_csv
from rebar.jobs.manifest import digest, find_manifests, fingerprint, load_manifest

VALUE_LENGTH = 500
NOTE_LENGTH = 7900  # MLflow's tags hold 8000
PATH_TAG, SPEC_TAG = "rebar.path", "rebar.spec_sha256"
NOTE_TAG = "mlflow.note.content"  # shown as Markdown on the run's page
METRICS, SUMMARY, TABLE = "metrics.jsonl", "summary.csv", "table.md"
CELL = ("recipe", "safeguard", "alignment", "attack", "decoder", "evaluation", "seed")
# Runs that group others, narrowest first: the first word of their name, and what their members have
# in common. There is one level only, because the UI hides filtered runs below closed groups.
GROUPS = {"model": ("seed", "recipe", "safeguard"), "seed": ("seed",)}


# What distinguishes a run from others of its stage, in the order of its name. The UI shows about 20
# characters, and runs below the group of their seed, recipe and safeguard: these come last.
NAME_KEYS = ("attack", "probe", "search", "alignment", "recipe", "safeguard")
UNATTACKED = "unattacked"

Measured = tuple[int, grid.Arm, str]  # seed, arm and attack of an evaluated model


class Finished(NamedTuple):
    """One finished folder: the manifest's content and what lies beside it."""

    path: str
    folder: Path
    manifest: dict[str, Any]
    digest: str
    note: str = ""

    @property
    def spec(self) -> dict[str, Any]:
        """What made it."""
        return self.manifest["spec"]

    @property
    def costs(self) -> dict[str, float]:
        """Times and memory; for an item of a job at most its training time."""
        return _read_costs(self.folder)

    @property
    def times_ms(self) -> tuple[int, int]:
        """Start and end of the job that made it, in milliseconds since 1970.

        An item of a job has the times of the whole job. Without costs it ends when it was written.
        """
        costs = self.costs if "seconds" in self.costs else _read_costs(self._job_folder)
        end_ms = round(1000 * costs.get("finished", self.folder.stat().st_mtime))
        return end_ms - round(1000 * costs.get("seconds", 0)), end_ms

    @property
    def _job_folder(self) -> Path:
        stage, names = self.spec["stage"], self.spec["wildcards"]
        if "alignment" not in names:  # only jobs of a whole arm have items
            return self.folder
        root = self.folder.parents[len(Path(self.path).parts) - 1]
        return root / grid.folder(stage, **names)


def _read_costs(folder: Path) -> dict[str, float]:
    path = folder / "costs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


class Point(NamedTuple):
    """A number of a run."""

    key: str
    step: int
    value: float


def find_finished(root: Path) -> Iterator[Finished]:
    """All folders with a manifest, by path."""
    for path in find_manifests(root):
        relative = str(path.parent.relative_to(root))
        yield Finished(relative, path.parent, load_manifest(path.parent), digest(path))


def find_tables(root: Path, rows: list[dict[str, str]]) -> Iterator[Finished]:
    """The files of the whole grid, which have no manifest: all measurements, and the report.

    The report's table is the description of its run: the store keeps no files.
    """
    if not (root / SUMMARY).exists():
        return
    collapsed = {tuple(row[key] for key in CELL): row["collapsed"] == "true" for row in rows}
    counts = {"rows": len(rows), "cells": len(collapsed), "collapsed": sum(collapsed.values())}
    read = {SUMMARY: digest(root / SUMMARY)}
    yield _of_grid(root, SUMMARY, "summarize", inputs=read, counts=counts)
    if (root / TABLE).exists():
        table = (root / TABLE).read_text(encoding="utf-8")
        cut = "" if len(table) <= NOTE_LENGTH else f"... cut; whole in {TABLE}"
        note = f"```\n{table[:NOTE_LENGTH]}{cut}\n```"
        yield _of_grid(root, TABLE, "report", inputs=read, counts={})._replace(note=note)


def _of_grid(root: Path, file: str, stage: str, **facts: Any) -> Finished:
    spec = {"stage": stage, "wildcards": {}, "settings": {"name": root.name}, "code": {}}
    return Finished(file, root, {"spec": spec, **facts}, digest(root / file))


def summary_rows(root: Path) -> list[dict[str, str]]:
    """Every measurement; none before there are any."""
    if not (root / SUMMARY).exists():
        return []
    return read_csv(root / SUMMARY)


def values_by_model(rows: list[dict[str, str]]) -> dict[Measured, dict[str, float]]:
    """Measured values of each evaluated model."""
    values: dict[Measured, dict[str, float]] = {}
    for row in rows:
        name = ".".join(row[key] for key in ("evaluation", "metric", "split", "decoder"))
        values.setdefault(_model_in(row), {})[name] = float(row["value"])
    return values


def measured_model(spec: dict[str, Any]) -> Measured | None:
    """The model whose answers were made by this spec; None if it made something else."""
    names = spec["wildcards"]
    return _model_in(names) if spec["stage"] == "evaluate" and "attack" in names else None


def _model_in(names: Mapping[str, Any]) -> Measured:
    return int(names["seed"]), grid.arm_of(names), str(names["attack"])


# ------------------------------------------------------------------------- parts of a run


def run_name(spec: dict[str, Any]) -> str:
    """The stage, then what distinguishes the run: `attack harmful_100 sft raw seed 11`.

    Names that are `none` and the word `_finetune` are left out, so that the first 20 characters
    tell most runs of a group apart.
    """
    wildcards = spec["wildcards"].items()
    names = {key: str(value).replace("_finetune", "") for key, value in wildcards}
    if names.get("attack") == NONE:
        names["attack"] = UNATTACKED  # the job that evaluates all models of an arm has no attack
    words = [names[key] for key in NAME_KEYS if names.get(key, NONE) != NONE]
    numbers = [f"{key} {names[key]}" for key in ("shard", "seed") if key in names]
    return " ".join([spec["stage"], *words, *numbers])


def run_tags(path: str, spec: dict[str, Any]) -> dict[str, str]:
    """What runs are searched by: stage, seed, recipe, ..., arm, code hashes and commit."""
    names = {key: str(value) for key, value in spec["wildcards"].items()}
    if set(grid.Arm._fields) <= set(names):
        names["arm"] = "/".join(grid.arm_of(names))
    code = {f"code.{key}": value for key, value in spec["code"].items()}
    if commit := commit_of(Path(__file__).parent):
        code["mlflow.source.git.commit"] = commit
        code["mlflow.source.name"] = f"{commit[:7]}{'-dirty' * commit.endswith('-dirty')}"
        code["mlflow.source.type"] = "LOCAL"  # the UI then shows the name, seven characters of it
    return {PATH_TAG: path, SPEC_TAG: fingerprint(spec), "stage": spec["stage"], **names, **code}


def run_params(spec: dict[str, Any]) -> dict[str, str]:
    """The settings, flat."""
    return {key[:250]: value[:VALUE_LENGTH] for key, value in _flat(spec["settings"]).items()}


def group_of(spec: dict[str, Any]) -> tuple[str, dict[str, str]] | None:
    """Name and tags of the run that a run belongs to: its pretrained model, or its seed."""
    names = spec["wildcards"]
    for word, keys in GROUPS.items():
        if set(keys) <= set(names):
            tags = {key: str(names[key]) for key in keys}
            return f"{word} {'/'.join(tags.values())}", tags
    return None


def read_points(path: Path) -> list[Point]:
    """Points of a metrics file that may still grow; none if it is not there."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    numbers = [json.loads(line) for line in lines if line.endswith("\n")]
    return [
        Point(key, line["step"], float(value))
        for line in numbers
        for key, value in line.items()
        if key != "step"
    ]


def last_points(item: Finished, values: dict[str, float]) -> list[Point]:
    """What is known only at the end: counts, costs and measured values."""
    numbers = {**_flat_numbers(item.manifest["counts"]), **item.costs, **values}
    return [Point(key, 0, float(number)) for key, number in numbers.items() if key != "finished"]


def inputs_of(item: Finished) -> dict[str, str]:
    """Digests of manifests and files that were read; of the Hub's repositories: id and commit."""
    spec, found = item.spec, dict(item.manifest["inputs"])
    settings, files = spec["settings"], spec.get("files", {})
    for name, sha in files.items():
        if sha not in found.values():
            found[name] = sha
    hub = {i.name: fingerprint([i.kind, i.name, i.revision]) for i in ids_in(settings)}
    found |= hub
    section = settings.get(spec["stage"])
    sources = section.get("sources") if isinstance(section, dict) else None
    if sources:
        reads_world = any(source["kind"] == "world" for source in sources)
    else:
        reads_world = "world" in settings and (sources is not None or not (files or hub))
    if reads_world:
        found["world"] = fingerprint([settings["world"], str(spec["wildcards"]["seed"])])
    return found


@cache
def commit_of(folder: Path) -> str:
    """Commit of the code, with `-dirty` if tracked files differ; empty outside a repository."""
    if shutil.which("git") is None:
        return ""
    describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    return subprocess.run(
        [*describe, "--exclude=*"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys; lists by index, unless they are short and of plain values."""
    text = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, list):
        is_nested = any(isinstance(item, dict) for item in value)
        value = dict(enumerate(value)) if is_nested or len(text) > VALUE_LENGTH else text
    if isinstance(value, dict):
        dotted = {f"{prefix}.{key}" if prefix else str(key): value[key] for key in value}
        return {k: v for key, item in dotted.items() for k, v in _flat(item, key).items()}
    return {prefix: text}


def _flat_numbers(value: Any) -> dict[str, float]:
    return {
        f"count.{key}": float(text)
        for key, text in _flat(value).items()
        if text.replace(".", "", 1).isdigit()
    }
