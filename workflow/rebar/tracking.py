"""Import of finished work into MLflow; the only file that imports mlflow.

Files are the truth. A local step reads manifests, metrics and costs and writes them with batches,
so that MLflow being slow, down or full never touches training, and nothing is lost when many jobs
end at once. Importing again adds only what is new.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# Before the import: a server that is down should cost seconds, not the default minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import sqlalchemy
from alembic.util.exc import CommandError
from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy.exc import SQLAlchemyError

from rebar import grid
from rebar.job import Job
from rebar.manifest import digest, find_manifests, fingerprint, load_manifest

PARAMS_PER_BATCH, METRICS_PER_BATCH = 100, 1000  # limits of MLflow's log_batch
VALUE_LENGTH = 500
PATH_TAG, DIGEST_TAG = "rebar.path", "rebar.manifest_sha256"  # a run has the second when whole
ARM = "arm:"  # begins the path of a run that groups others
SUMMARY = "summary.csv"
CELL = ("recipe", "safeguard", "alignment", "attack", "decoder", "evaluation", "seed")
# A store that is down, full, broken, of another version, or whose driver is not installed.
FAILURES = (MlflowException, SQLAlchemyError, CommandError, OSError, ImportError)


class Finished(NamedTuple):
    """One finished folder: the manifest's content and what lies beside it."""

    path: str
    folder: Path
    manifest: dict[str, Any]
    digest: str

    @property
    def wildcards(self) -> dict[str, Any]:
        """Seed, recipe and so on, as strings."""
        return {k: str(v) for k, v in self.manifest["spec"]["wildcards"].items()}

    @property
    def name(self) -> str:
        """First word: the stage."""
        return grid.label(self.manifest["spec"]["stage"], self.wildcards)


def create_store(root: Path) -> None:
    """Create the store's tables once, before anything imports; only a warning if it fails.

    Two processes that create an SQLite store together both fail: migrations race.
    """
    try:
        _client().search_experiments(max_results=1)
    except FAILURES as error:
        _warn(error)
    else:
        print(f"MLflow store: {_store()}")
    _write(root / "tracking_db.json", {"store": _store()})


def _client() -> MlflowClient:
    """A client, after one try to reach the store if that is a database, and to write to SQLite.

    MLflow itself would try for 100 seconds.
    """
    address = get_tracking_uri()
    if address.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
        engine = sqlalchemy.create_engine(address)
        if engine.dialect.name == "sqlite" and engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA busy_timeout = 20000")  # as MLflow waits
                    connection.exec_driver_sql("BEGIN IMMEDIATE")  # takes the lock of a writer
        finally:
            engine.dispose()
    return MlflowClient()


def _write(path: Path, state: dict[str, Any]) -> None:
    """A small JSON file, whole or absent."""
    temporary = path.with_suffix(".unfinished")
    temporary.write_text(json.dumps(state, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _store() -> str:
    """The store's address without user name and password."""
    return re.sub(r"//[^/@]*@", "//", get_tracking_uri())


def _warn(error: Exception) -> None:
    """One line; of the error only what holds no address, password or parameter."""
    reason = getattr(error, "orig", None) or getattr(error, "strerror", None)
    reason = f": {reason}" if reason else ""
    print(
        f"warning: MLflow at {_store()} does not answer ({type(error).__name__}{reason}); "
        "nothing is lost: `snakemake --profile profiles/local --forcerun track` imports later",
        file=sys.stderr,
    )


def import_results(job: Job) -> None:
    """Import every finished folder that is not there yet; write what was found."""
    finished, rows = list(find_finished(job.root)), _summary_rows(job.root / SUMMARY)
    runs = [*finished, *_summary(job.root, rows)]
    try:
        imported = _import(job.settings["name"], runs, _values_by_model(rows))
    except FAILURES as error:
        _warn(error)
        imported = None
    if imported is not None:
        print(f"MLflow: {imported} new runs, {len(runs)} in all, {_store()}")
    state = {"folders": len(finished), "imported": imported is not None}
    _write(job.root / "tracking.json", state)


def find_finished(root: Path) -> Iterator[Finished]:
    """All folders with a manifest, by path."""
    for path in find_manifests(root):
        relative = str(path.parent.relative_to(root))
        yield Finished(relative, path.parent, load_manifest(path.parent), digest(path))


def _summary_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _summary(root: Path, rows: list[dict[str, str]]) -> Iterator[Finished]:
    """The table of all measurements, which is a file without a manifest, as one more run."""
    if not (root / SUMMARY).exists():
        return
    collapsed = {tuple(row[key] for key in CELL): row["collapsed"] == "true" for row in rows}
    counts = {"rows": len(rows), "cells": len(collapsed), "collapsed": sum(collapsed.values())}
    spec = {"stage": "summarize", "wildcards": {}, "settings": {"name": root.name}, "code": {}}
    sha = digest(root / SUMMARY)
    yield Finished(SUMMARY, root, {"spec": spec, "inputs": {SUMMARY: sha}, "counts": counts}, sha)


def _import(experiment: str, finished: list[Finished], values: dict[str, dict[str, float]]) -> int:
    client = _client()
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    known = _known_runs(client, experiment_id)
    new = [item for item in finished if (item.path, item.digest) not in known.whole]
    for item in new:
        parent = _parent(client, experiment_id, item, known.arms)
        _log_run(client, experiment_id, item, parent, values)
    return len(new)


class Known(NamedTuple):
    """What is in the store: run ids of arms by path; path and digest of every whole run."""

    arms: dict[str, str]
    whole: set[tuple[str, str]]


def _known_runs(client: MlflowClient, experiment_id: str) -> Known:
    """What is in the store, after deleting what a killed import left half-made."""
    known = Known({}, set())
    for run in list(_runs(client, experiment_id)):
        tags, is_finished = run.data.tags, run.info.status == "FINISHED"
        path = tags.get(PATH_TAG)
        if path is None:
            continue  # not of this import
        if is_finished and path.startswith(ARM):
            known.arms[path] = run.info.run_id
        elif is_finished and DIGEST_TAG in tags:
            known.whole.add((path, tags[DIGEST_TAG]))
        else:
            client.delete_run(run.info.run_id)
    return known


def _runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _parent(
    client: MlflowClient, experiment_id: str, item: Finished, known: dict[str, str]
) -> str | None:
    """Run id of the arm (or recipe, or seed) that the run belongs to, made when missing."""
    parent = None
    below: list[str] = []
    for key in grid.LINEAGE[:-1]:
        if key not in item.wildcards:
            break
        below.append(item.wildcards[key])
        path = ARM + "/".join(below)
        if path not in known:
            tags = {PATH_TAG: path, **dict(zip(grid.LINEAGE, below, strict=False))}
            known[path] = _create(client, experiment_id, f"arm {'/'.join(below)}", tags, parent)
            client.set_terminated(known[path], RunStatus.to_string(RunStatus.FINISHED))
        parent = known[path]
    return parent


def _create(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    tags: Mapping[str, str],
    parent: str | None,
    start_ms: int | None = None,
) -> str:
    if parent:
        tags = {**tags, "mlflow.parentRunId": parent}
    run = client.create_run(experiment_id, start_time=start_ms, tags=dict(tags), run_name=name)
    return run.info.run_id


def _log_run(
    client: MlflowClient,
    experiment_id: str,
    item: Finished,
    parent: str | None,
    values: dict[str, dict[str, float]],
) -> None:
    """One run: parameters, metrics over steps, input datasets, code version, times.

    The digest, by which a later import knows the run, comes last: a run without it is half-made.
    """
    costs = _json(item.folder / "costs.json")
    end_ms = round(1000 * costs.get("finished", item.folder.stat().st_mtime))
    start_ms = end_ms - round(1000 * costs.get("seconds", 0))
    tags = {PATH_TAG: item.path, "stage": item.manifest["spec"]["stage"]}
    tags |= item.wildcards | _code_tags(item)
    run_id = _create(client, experiment_id, item.name, tags, parent, start_ms)
    params = _flat(item.manifest["spec"]["settings"])
    rows = [Param(key[:250], value[:VALUE_LENGTH]) for key, value in params.items()]
    for start in range(0, len(rows), PARAMS_PER_BATCH):
        client.log_batch(run_id, params=rows[start : start + PARAMS_PER_BATCH])
    metrics = list(_metrics(item, costs, values.get(item.path, {}), end_ms))
    for start in range(0, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])
    if datasets := _datasets(item):
        client.log_inputs(run_id, datasets=datasets)
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED), end_ms)
    client.set_tag(run_id, DIGEST_TAG, item.digest)


def _metrics(
    item: Finished, costs: dict[str, Any], values: dict[str, float], end_ms: int
) -> Iterator[Metric]:
    path = item.folder / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        numbers = json.loads(line)
        step = numbers.pop("step")
        yield from (Metric(key, float(value), end_ms, step) for key, value in numbers.items())
    for key, value in {**_flat_numbers(item.manifest["counts"]), **costs, **values}.items():
        if key != "finished":
            yield Metric(key, float(value), end_ms, 0)


def _datasets(item: Finished) -> list[DatasetInput]:
    """What the stage read, by name and digest."""
    return [
        DatasetInput(
            Dataset(name=name, digest=sha[:32], source_type="local", source=f"sha256:{sha}"),
            [InputTag("mlflow.data.context", item.manifest["spec"]["stage"])],
        )
        for name, sha in _inputs(item).items()
    ]


def _inputs(item: Finished) -> dict[str, str]:
    """Digests of manifests and files that were read, and of sources that are no files."""
    spec, found = item.manifest["spec"], dict(item.manifest["inputs"])
    for name, sha in spec.get("files", {}).items():
        if sha not in found.values():
            found[name] = sha
    section = spec["settings"].get(spec["stage"])
    if not isinstance(section, dict) or "sources" not in section:
        return found
    for source in section["sources"] or [{"kind": "world"}]:  # labels without sources: the world's
        if source["kind"] == "world":
            found["world"] = fingerprint([spec["settings"]["world"], item.wildcards["seed"]])
        elif source["kind"] == "hub":
            found[source["dataset"]] = fingerprint(source)
    return found


def _code_tags(item: Finished) -> dict[str, str]:
    code = {f"code.{key}": value for key, value in item.manifest["spec"]["code"].items()}
    commit = _commit(Path(__file__).parent)
    return {**code, "mlflow.source.git.commit": commit} if commit else code


@cache
def _commit(folder: Path) -> str:
    """Commit of the code, `-dirty` if tracked files differ from it; empty outside a repository."""
    if shutil.which("git") is None:
        return ""
    describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    return subprocess.run(
        [*describe, "--exclude=*"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _values_by_model(rows: list[dict[str, str]]) -> dict[str, dict[str, float]]:
    """Measured values of each evaluated model, keyed by its folder below evaluations/."""
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        folder = str(grid.evaluation_folder(int(row["seed"]), grid.arm_of(row), row["attack"]))
        name = ".".join(row[key] for key in ("evaluation", "metric", "split", "decoder"))
        values.setdefault(folder, {})[name] = float(row["value"])
    return values


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


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
