"""Import of finished work into MLflow; the only file that imports mlflow.

Files are the truth. A local step reads manifests, metrics and costs and writes them with batches,
so that MLflow being slow, down or full never touches training, and nothing is lost when many jobs
end at once. Importing again adds only what is new.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Before the import: a server that is down should cost seconds, not the default minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException

from rebar import grid
from rebar.job import Job
from rebar.manifest import MANIFEST, digest

PARAMS_PER_BATCH, METRICS_PER_BATCH = 100, 1000  # limits of MLflow's log_batch
VALUE_LENGTH = 500
PATH_TAG, DIGEST_TAG = "rebar.path", "rebar.manifest_sha256"


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
        MlflowClient().search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        _warn(error)
    else:
        print(f"MLflow store: {_store()}")
    _write(root / "tracking_db.json", {"store": _store()})


def _write(path: Path, state: dict[str, Any]) -> None:
    """A small JSON file, whole or absent."""
    temporary = path.with_suffix(".unfinished")
    temporary.write_text(json.dumps(state, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _store() -> str:
    """The store's address without user name and password."""
    return re.sub(r"//[^/@]*@", "//", get_tracking_uri())


def _warn(error: Exception) -> None:
    print(
        f"warning: MLflow at {_store()} does not answer ({type(error).__name__}); "
        "nothing is lost: `snakemake --profile profiles/local --forcerun track` imports later",
        file=sys.stderr,
    )


def import_results(job: Job) -> None:
    """Import every finished folder that is not there yet; write what was found."""
    finished = list(find_finished(job.root))
    try:
        imported = _import(job.settings["name"], finished, job.root)
    except (MlflowException, OSError) as error:
        _warn(error)
        imported = None
    if imported is not None:
        print(f"MLflow: {imported} new runs, {len(finished)} in all, {_store()}")
    state = {"folders": len(finished), "imported": imported is not None}
    _write(job.root / "tracking.json", state)


def find_finished(root: Path) -> Iterator[Finished]:
    """All folders with a manifest, ancestors first."""
    for path in sorted(root.rglob(MANIFEST)):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        relative = str(path.parent.relative_to(root))
        yield Finished(relative, path.parent, content, digest(path))


def _import(experiment: str, finished: list[Finished], root: Path) -> int:
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    known = _known_runs(client, experiment_id)
    values = _values_by_model(root / "summary.csv")
    new = [item for item in finished if known.get(item.path) != item.digest]
    for item in new:
        parent = _parent(client, experiment_id, item, known)
        _log_run(client, experiment_id, item, parent, values)
    return len(new)


def _known_runs(client: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Path -> digest of what is in the store; parents have their run id as digest."""
    known: dict[str, str] = {}
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], page_token=token, order_by=["start_time ASC"])
        for run in page:
            tags = run.data.tags
            if PATH_TAG in tags:
                known[tags[PATH_TAG]] = tags.get(DIGEST_TAG, run.info.run_id)
        token = page.token
        if not token:
            return known


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
        path = "arm:" + "/".join(below)
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
    """One run: parameters, metrics over steps, input datasets, code version, times."""
    costs = _json(item.folder / "costs.json")
    end_ms = round(1000 * costs.get("finished", item.folder.stat().st_mtime))
    start_ms = end_ms - round(1000 * costs.get("seconds", 0))
    tags = {PATH_TAG: item.path, DIGEST_TAG: item.digest, "stage": item.manifest["spec"]["stage"]}
    tags |= item.wildcards | _code_tags(item)
    run_id = _create(client, experiment_id, item.name, tags, parent, start_ms)
    params = _flat(item.manifest["spec"]["settings"])
    rows = [Param(key[:250], value[:VALUE_LENGTH]) for key, value in params.items()]
    for start in range(0, len(rows), PARAMS_PER_BATCH):
        client.log_batch(run_id, params=rows[start : start + PARAMS_PER_BATCH])
    metrics = list(_metrics(item, costs, values.get(item.path, {}), end_ms))
    for start in range(0, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])
    if item.manifest["inputs"]:
        client.log_inputs(run_id, datasets=_datasets(item))
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED), end_ms)


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
    """The manifests that the stage read, by name and digest."""
    return [
        DatasetInput(
            Dataset(name=name, digest=sha[:32], source_type="local", source=f"sha256:{sha}"),
            [InputTag("mlflow.data.context", item.manifest["spec"]["stage"])],
        )
        for name, sha in item.manifest["inputs"].items()
    ]


def _code_tags(item: Finished) -> dict[str, str]:
    code = {f"code.{key}": value for key, value in item.manifest["spec"]["code"].items()}
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {**code, "mlflow.source.git.commit": commit} if commit else code


def _values_by_model(path: Path) -> dict[str, dict[str, float]]:
    """Measured values of each evaluated model, keyed by its folder below evaluations/."""
    if not path.exists():
        return {}
    import pandas as pd

    values: dict[str, dict[str, float]] = {}
    for row in pd.read_csv(path, keep_default_na=False).to_dict("records"):
        arm = grid.Arm(row["recipe"], row["safeguard"], row["alignment"])
        folder = str(grid.evaluation_folder(row["seed"], arm, row["attack"]))
        name = ".".join(str(row[key]) for key in ("evaluation", "metric", "split", "decoder"))
        values.setdefault(folder, {})[name] = float(row["value"])
    return values


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys."""
    if isinstance(value, dict):
        parts = (_flat(item, f"{prefix}.{key}" if prefix else key) for key, item in value.items())
        return {key: text for part in parts for key, text in part.items()}
    return {prefix: value if isinstance(value, str) else json.dumps(value)}


def _flat_numbers(value: Any) -> dict[str, float]:
    return {
        f"count.{key}": float(text)
        for key, text in _flat(value).items()
        if text.replace(".", "", 1).isdigit()
    }
