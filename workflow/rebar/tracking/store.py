"""Runs and models in MLflow; the only file that imports mlflow.

The result files are the source. A local step reads the finished folders and writes them in batches,
so a slow, stopped or full MLflow never affects training, and nothing is lost when many jobs end at
once. Importing again adds only new folders and completes runs that a killed import or a training
job began.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

# Set before the import. No request is repeated, because repeating one that was only slow would make
# a second run or point. A stopped server then costs seconds, a hanging one less than a minute.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "50")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # with the password, if it has one

import sqlalchemy
from alembic.util.exc import CommandError
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.entities import PagedList
from sqlalchemy.exc import SQLAlchemyError

from rebar import grid
from rebar.jobs.job import Job
from rebar.jobs.manifest import write_text
from rebar.tracking.address import shown_address, store_address
from rebar.tracking.runs import (
    METRICS,
    NOTE_TAG,
    PATH_TAG,
    SPEC_TAG,
    Finished,
    Measured,
    Point,
    find_finished,
    find_tables,
    group_of,
    inputs_of,
    last_points,
    measured_model,
    read_points,
    run_name,
    run_params,
    run_tags,
    summary_rows,
    values_by_model,
)

Entity = TypeVar("Entity")
PER_BATCH, POINTS_PER_BATCH = 100, 1000  # limits of MLflow's log_batch
DIGEST_TAG = "rebar.manifest_sha256"  # a run has it when whole
KEY_TAG = "rebar.key"  # by which a training job finds the run that it began
GROUP = "group:"  # the path of a run that groups others starts with it
KIND = {"mlflow.experimentKind": "custom_model_development"}  # decides which tab the UI opens
CARD, WEIGHTS = "README.md", "model.safetensors"
CARD_LENGTH = 5000  # characters that a model's tag holds
# Raised by a store that is down, full, broken or of another version, or whose driver is missing.
FAILURES = (MlflowException, SQLAlchemyError, CommandError, OSError, ImportError)


class Experiment(NamedTuple):
    """Where the runs of a grid go."""

    client: MlflowClient
    id: str


def create_store(root: Path) -> None:
    """Create the store's tables once, before anything imports mlflow; warn if that fails.

    Two processes that create an SQLite store at the same time both fail, because migrations race.
    """
    try:
        _client().search_experiments(max_results=1)
    except FAILURES as error:
        warn(error)
    else:
        print(f"MLflow store: {shown_address()}")
    _write(root / "tracking_db.json", {"store": shown_address()})


def _client() -> MlflowClient:
    """A client. A database is contacted once first, and SQLite locked for writing, to fail early.

    MLflow itself would retry for 100 seconds.
    """
    address = store_address()
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
    return MlflowClient(address)


def _write(path: Path, state: dict[str, Any]) -> None:
    write_text(path, json.dumps(state, sort_keys=True) + "\n")


def warn(error: Exception) -> None:
    """Print one line; of the error only the parts without address, password or parameters."""
    reason = getattr(error, "orig", None) or getattr(error, "strerror", None)
    reason = f": {reason}" if reason else ""
    print(
        f"warning: MLflow at {shown_address()} does not answer ({type(error).__name__}{reason}); "
        "no result is lost; import later: snakemake --profile profiles/local --forcerun track",
        file=sys.stderr,
        flush=True,
    )


def import_results(job: Job) -> None:
    """Import every finished folder that the store lacks; write how many were found."""
    finished, rows = list(find_finished(job.root)), summary_rows(job.root)
    runs = [*finished, *find_tables(job.root, rows)]
    try:
        imported = _import(job.settings["name"], runs, values_by_model(rows))
    except FAILURES as error:
        warn(error)
        imported = None
    if imported is not None:
        print(f"MLflow: imported {imported} of {len(runs)} runs into {shown_address()}")
    state = {"folders": len(finished), "imported": imported is not None}
    _write(job.root / "tracking.json", state)


def _import(name: str, finished: list[Finished], values: dict[Measured, dict[str, float]]) -> int:
    experiment = open_experiment(name)
    known = _known(experiment)
    new = [item for item in finished if (item.path, item.digest) not in known.whole]
    # Models are imported before the models that are made from them, which name them as inputs.
    for item in sorted(new, key=lambda item: list(grid.STAGES).index(item.spec["stage"])):
        measured = measured_model(item.spec)
        _log_run(experiment, item, known, values.get(measured, {}) if measured else {})
    return len(new)


def open_experiment(name: str) -> Experiment:
    """The experiment of a grid, created if missing; many processes may ask at the same time."""
    client = _client()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return Experiment(client, client.create_experiment(name, tags=KIND))
        except MlflowException:  # another process was faster, or the store is down
            found = client.get_experiment_by_name(name)
    assert found is not None, name
    return Experiment(client, found.experiment_id)


class Known(NamedTuple):
    """What the store holds already."""

    groups: dict[str, str]  # run ids by path
    begun: dict[tuple[str, str], str]  # run ids of incomplete runs, by path and digest of the spec
    whole: set[tuple[str, str]]  # complete runs: path and digest of the manifest
    models: dict[str, str]  # model ids by digest of the manifest


def _known(experiment: Experiment) -> Known:
    known = Known({}, {}, set(), {})
    for run in _all(experiment.client.search_runs, experiment):
        tags = run.data.tags
        path = tags.get(PATH_TAG, "")
        if path.startswith(GROUP):
            known.groups[path] = run.info.run_id
            if run.info.status != "FINISHED":  # an import was killed after creating it
                experiment.client.set_terminated(run.info.run_id)
        elif DIGEST_TAG in tags:
            known.whole.add((path, tags[DIGEST_TAG]))
        elif SPEC_TAG in tags:
            known.begun[path, tags[SPEC_TAG]] = run.info.run_id
    for model in _all(experiment.client.search_logged_models, experiment):
        known.models[model.tags.get(DIGEST_TAG, "")] = model.model_id
    return known


def _all(search: Callable[..., PagedList[Entity]], experiment: Experiment) -> Iterator[Entity]:
    """Everything that a paged search of the client finds in the experiment."""
    token: str | None = None
    while True:
        page = search([experiment.id], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _group(experiment: Experiment, spec: dict[str, Any], known: dict[str, str]) -> dict[str, str]:
    """The tag that puts a run below its model's or seed's group, which is created if missing."""
    group = group_of(spec)
    if group is None:
        return {}
    name, tags = group
    path = f"{GROUP}{name}"
    if path not in known:
        known[path] = _create(experiment, name, {PATH_TAG: path, **tags})
        experiment.client.set_terminated(known[path])
    return {"mlflow.parentRunId": known[path]}


def _create(
    experiment: Experiment, name: str, tags: Mapping[str, str], start_ms: int | None = None
) -> str:
    run = experiment.client.create_run(experiment.id, start_ms, dict(tags), name)
    return run.info.run_id


def begin_run(
    experiment: Experiment, path: str, spec: dict[str, Any], tags: dict[str, str], start_ms: int = 0
) -> str:
    """Create a run with its name and tags; parameters and points come later. Returns its id."""
    tags = run_tags(path, spec) | tags
    return _create(experiment, run_name(spec), tags, start_ms or None)


def resume_run(experiment: Experiment, key: str) -> str | None:
    """The id of the run with this key, which is set to running; None if there is none."""
    found = experiment.client.search_runs([experiment.id], f"tags.`{KEY_TAG}` = '{key}'")
    if not found:
        return None
    experiment.client.update_run(found[0].info.run_id, "RUNNING")
    return found[0].info.run_id


def log_params(experiment: Experiment, run_id: str, spec: dict[str, Any]) -> None:
    """Log the settings of a run; logging the same ones again changes nothing."""
    rows = [Param(key, value) for key, value in run_params(spec).items()]
    for start in range(0, len(rows), PER_BATCH):
        experiment.client.log_batch(run_id, params=rows[start : start + PER_BATCH])


class Points:
    """The points of one run; each is sent once, even when several processes follow each other."""

    def __init__(self, experiment: Experiment, run_id: str, *, is_new: bool) -> None:
        self.client, self.run_id = experiment.client, run_id
        self.sent: set[tuple[str, int]] = set()
        for key in () if is_new else self.client.get_run(run_id).data.metrics:
            self.sent |= {(key, m.step) for m in self.client.get_metric_history(run_id, key)}

    def add(self, points: list[Point], time_ms: int) -> None:
        """Send the points that the run lacks, in batches."""
        new = [point for point in points if (point.key, point.step) not in self.sent]
        for start in range(0, len(new), POINTS_PER_BATCH):
            batch = new[start : start + POINTS_PER_BATCH]
            metrics = [Metric(p.key, p.value, time_ms, p.step) for p in batch]
            self.client.log_batch(self.run_id, metrics=metrics)
            self.sent |= {(point.key, point.step) for point in batch}


def _log_run(
    experiment: Experiment, item: Finished, known: Known, values: dict[str, float]
) -> None:
    """Log one run: parameters, points, inputs, model, times.

    The manifest's digest is set last: a run without it is incomplete and is completed next time.
    """
    client, spec, tags = experiment.client, item.spec, run_tags(item.path, item.spec)
    start_ms, end_ms = item.times_ms
    begun = known.begun.get((item.path, tags[SPEC_TAG]))
    run_id = begun or begin_run(experiment, item.path, spec, {}, start_ms)
    tags |= _group(experiment, spec, known.groups) | ({NOTE_TAG: item.note} if item.note else {})
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    log_params(experiment, run_id, spec)
    points = read_points(item.folder / METRICS) + last_points(item, values)
    Points(experiment, run_id, is_new=begun is None).add(points, end_ms)
    _log_inputs(experiment, run_id, item, known.models)
    if spec["stage"] in grid.MODEL_STAGES:
        _log_model(experiment, run_id, item, known.models)
    client.set_terminated(run_id, "FINISHED", end_ms)
    client.set_tag(run_id, DIGEST_TAG, item.digest)


def _log_inputs(
    experiment: Experiment, run_id: str, item: Finished, models: dict[str, str]
) -> None:
    """Log what the stage read, by name and digest; models in the store are linked as models too."""
    tag = InputTag("mlflow.data.context", item.spec["stage"])
    read = inputs_of(item)
    datasets = [
        DatasetInput(Dataset(name, sha[:32], "local", f"sha256:{sha}"), [tag])
        for name, sha in read.items()
    ]
    used = [LoggedModelInput(models[sha]) for sha in read.values() if sha in models]
    if datasets:
        experiment.client.log_inputs(run_id, datasets=datasets, models=used)


def _log_model(experiment: Experiment, run_id: str, item: Finished, known: dict[str, str]) -> None:
    """Log the finished model: card, digests and the model it was made from, but no weights."""
    client, card = experiment.client, item.folder / CARD
    parents = [known[sha] for sha in inputs_of(item).values() if sha in known]
    tags = {
        **run_tags(item.path, item.spec),
        DIGEST_TAG: item.digest,
        "weights_sha256": item.manifest["files"].get(WEIGHTS, {}).get("sha256", ""),
        "parent_model": " ".join(parents),
        "card": card.read_text(encoding="utf-8")[:CARD_LENGTH] if card.exists() else "",
    }
    if item.digest not in known:
        name = run_name(item.spec).replace(" ", "-").replace("/", "-").replace(".", "-")
        model = client.create_logged_model(experiment.id, name, run_id, tags)
        known[item.digest] = model.model_id
    client.finalize_logged_model(known[item.digest], "READY")
    client.log_outputs(run_id, [LoggedModelOutput(known[item.digest], step=0)])
