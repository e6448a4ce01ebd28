"""The import into MLflow: complete, repeatable, and no reason to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebar.job import Job
from rebar.manifest import output_folder, write_manifest

tracking = pytest.importorskip("rebar.tracking")

WILDCARDS = {"seed": 3, "recipe": "raw", "safeguard": "none"}


def finish(root: Path, loss: float = 2.0) -> Path:
    """One pretraining run below `root`, as a stage leaves it."""
    folder = root / "models/3/raw/none/base"
    settings = {"pretrain": {"steps": 20, "betas": [0.9, 0.95]}, "initial_model": None}
    spec = {"stage": "pretrain", "wildcards": WILDCARDS, "settings": settings}
    spec["code"] = {"stage": "ab"}
    source = root / "corpus.json"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("{}")
    with output_folder(folder) as temporary:
        lines = [json.dumps({"step": step, "loss": loss / step}) for step in (10, 20)]
        (temporary / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        costs = {"seconds": 4.0, "peak_mb": 500, "finished": 1_700_000_004.0}
        (temporary / "costs.json").write_text(json.dumps(costs))
        counts = {"tokens": 640, "name": "x"}
        write_manifest(temporary, spec=spec, inputs={"tokenize": source}, counts=counts)
    return folder


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    root = tmp_path / "results/demo"
    finish(root)
    tracking.create_store(root)
    return Job("track", root, {}, {"name": "demo"})


def runs(name: str) -> list:
    client = tracking.MlflowClient()
    return list(client.search_runs([client.get_experiment_by_name(name).experiment_id]))


def test_a_stage_is_a_run_below_its_recipe(job: Job) -> None:
    tracking.import_results(job)
    found = {run.info.run_name: run for run in runs("demo")}
    assert set(found) == {"arm 3", "arm 3/raw", "arm 3/raw/none", "pretrain 3/raw/none"}
    run = found["pretrain 3/raw/none"]
    assert run.data.params["pretrain.steps"] == "20"
    assert run.data.params["pretrain.betas"] == "[0.9, 0.95]"
    assert run.data.metrics["loss"] == 0.1
    assert run.data.metrics["seconds"] == 4.0
    assert run.data.metrics["count.tokens"] == 640
    assert run.data.tags["recipe"] == "raw"
    assert run.data.tags["code.stage"] == "ab"
    assert run.data.tags["mlflow.parentRunId"] == found["arm 3/raw/none"].info.run_id
    assert run.info.end_time - run.info.start_time == 4000
    assert run.info.status == "FINISHED"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "tokenize"
    assert len(dataset.dataset.digest) == 32
    history = tracking.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.2), (20, 0.1)]


def test_importing_again_adds_only_what_is_new(job: Job) -> None:
    tracking.import_results(job)
    tracking.import_results(job)
    assert len(runs("demo")) == 4
    finish(job.root, loss=3.0)
    tracking.import_results(job)
    assert len(runs("demo")) == 5
    assert json.loads((job.root / "tracking.json").read_text()) == {"folders": 1, "imported": True}


def test_a_store_that_is_down_costs_a_warning(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    tracking.create_store(job.root)
    tracking.import_results(job)
    text = capsys.readouterr().err
    assert "MLflow at http://127.0.0.1:9 does not answer" in text
    assert "secret" not in text
    assert "secret" not in (job.root / "tracking_db.json").read_text()
    assert json.loads((job.root / "tracking.json").read_text())["imported"] is False
