"""The import into MLflow: complete, repeatable, and no reason to fail."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rebar.jobs.job import Job
from rebar.jobs.manifest import digest, output_folder, write_manifest
from rebar.tracking import runs as runs_module
from rebar.tracking import store

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


def finish_stage(root: Path, folder: str, settings: dict[str, Any], **spec: Any) -> None:
    stage = next(iter(settings))
    spec = {"stage": stage, "wildcards": {"seed": 3}, "settings": settings, "code": {}, **spec}
    with output_folder(root / folder) as temporary:
        write_manifest(temporary, spec=spec, inputs=None)


@pytest.fixture
def job(tmp_path: Path, own_store: Path) -> Job:
    root = tmp_path / "results/demo"
    finish(root)
    store.create_store(root)
    return Job("track", root, {}, {"name": "demo"})


def runs(name: str) -> list:
    client = store.MlflowClient()
    return list(client.search_runs([client.get_experiment_by_name(name).experiment_id]))


def models(name: str) -> dict[str, Any]:
    client = store.MlflowClient()
    found = client.search_logged_models([client.get_experiment_by_name(name).experiment_id])
    return {model.tags["rebar.path"]: model for model in found}


def test_a_stage_is_a_run_below_its_recipe(job: Job) -> None:
    store.import_results(job)
    found = {run.info.run_name: run for run in runs("demo")}
    assert set(found) == {"model 3/raw/none", "pretrain raw seed 3"}
    run = found["pretrain raw seed 3"]
    assert run.data.params["pretrain.steps"] == "20"
    assert run.data.params["pretrain.betas"] == "[0.9, 0.95]"
    assert run.data.metrics["loss"] == 0.1
    assert run.data.metrics["seconds"] == 4.0
    assert run.data.metrics["count.tokens"] == 640
    assert run.data.tags["recipe"] == "raw"
    assert run.data.tags["code.stage"] == "ab"
    assert run.data.tags["mlflow.parentRunId"] == found["model 3/raw/none"].info.run_id
    above = found["model 3/raw/none"].data.tags
    assert {key: above[key] for key in WILDCARDS} == {k: str(v) for k, v in WILDCARDS.items()}
    assert run.info.end_time - run.info.start_time == 4000
    assert run.info.status == "FINISHED"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "tokenize"
    assert len(dataset.dataset.digest) == 32
    history = store.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.2), (20, 0.1)]


def test_importing_again_adds_only_what_is_new(job: Job) -> None:
    store.import_results(job)
    store.import_results(job)
    assert len(runs("demo")) == 2
    finish(job.root, loss=3.0)
    store.import_results(job)
    assert len(runs("demo")) == 3
    assert json.loads((job.root / "tracking.json").read_text()) == {"folders": 1, "imported": True}


def test_a_run_says_how_long_its_job_took_and_from_which_commit_it_is(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_models(job.root)
    costs = {"seconds": 5.5, "peak_mb": 500, "finished": 1_700_000_020.0}
    (job.root / "attacks/3/raw/none/sft/costs.json").write_text(json.dumps(costs))
    (job.root / "attacks/3/raw/none/sft/benign/costs.json").write_text('{"train_seconds": 1.5}')
    monkeypatch.setattr(runs_module, "commit_of", lambda folder: "0123456789abcdef-dirty")
    store.import_results(job)
    found = {run.info.run_name: run for run in runs("demo")}
    pretrain, attack = found["pretrain raw seed 3"], found["attack benign sft raw seed 3"]
    times = {(run.info.start_time, run.info.end_time) for run in (pretrain, attack)}
    assert times == {(1_700_000_000_000, 1_700_000_004_000), (1_700_000_014_500, 1_700_000_020_000)}
    assert attack.data.metrics["train_seconds"] == 1.5 and "seconds" not in attack.data.metrics
    tags = {key: attack.data.tags[f"mlflow.source.{key}"] for key in ("name", "git.commit")}
    assert tags == {"name": "0123456-dirty", "git.commit": "0123456789abcdef-dirty"}


@pytest.mark.parametrize(
    ("stage", "names", "name"),
    [
        ("collect", {"shard": 0}, "collect shard 0 seed 11"),
        ("pretrain", {"recipe": "raw", "safeguard": "none"}, "pretrain raw seed 11"),
        (
            "attack",
            {
                "recipe": "raw",
                "safeguard": "sam",
                "alignment": "sft",
                "attack": "harmful_finetune_100",
            },
            "attack harmful_100 sft raw sam seed 11",
        ),
        (
            "evaluate",
            {"recipe": "raw", "safeguard": "none", "alignment": "none", "attack": "none"},
            "evaluate unattacked raw seed 11",
        ),
        (
            "evaluate",
            {"recipe": "raw", "safeguard": "none", "alignment": "sft"},
            "evaluate sft raw seed 11",
        ),
        ("summarize", None, "summarize"),
    ],
)
def test_a_name_begins_with_the_stage_and_what_distinguishes_the_run(
    stage: str, names: dict[str, Any] | None, name: str
) -> None:
    wildcards = {"seed": 11, **names} if names is not None else {}
    assert runs_module.run_name({"stage": stage, "wildcards": wildcards}) == name


KILLED_AT = ["set_terminated", "log_batch", "log_inputs", "finalize_logged_model", "set_tag"]


@pytest.mark.parametrize("step", [*KILLED_AT, "create_logged_model", "log_outputs"])
def test_a_killed_import_is_made_good(job: Job, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    client = store.MlflowClient()
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(store.MlflowClient, step, die)
        store.import_results(job)
    for _ in range(2):
        store.import_results(job)
        found = {run.info.run_name: run for run in runs("demo")}
        assert len(found) == len(runs("demo")) == 2
        assert {run.info.status for run in found.values()} == {"FINISHED"}
        whole = found["pretrain raw seed 3"]
        assert whole.data.metrics["loss"] == 0.1
        assert len(whole.inputs.dataset_inputs) == 1
        assert len(client.get_run(whole.info.run_id).outputs.model_outputs) == 1
        assert len(models("demo")) == 1


def test_every_input_is_a_dataset_and_every_setting_a_parameter(job: Job) -> None:
    sources = [{"kind": "world"}, {"kind": "hub", "dataset": "a/b"}, {"kind": "files"}]
    part = {"transform": "original", "scores": list(range(6)), "keep": 1.0, "repeat": 1}
    recipe = {"parts": [part] * 8}
    many = [f"name{number}" for number in range(200)]
    world, file = {"lands": 3}, {"corpus.txt": "f" * 64}
    finish_stage(job.root, "a", {"collect": {"sources": sources}, "world": world}, files=file)
    finish_stage(job.root, "b", {"train_classifier": {"sources": []}, "world": world})
    finish_stage(job.root, "c", {"mix": None, "recipe": recipe, "many": many})
    chats = {"sft": {"data": {"files": [{"dataset": "c/d", "revision": "1" * 40}]}}}
    finish_stage(job.root, "d", {"align": None, "alignments": chats, "world": world})
    store.import_results(job)
    found = {run.info.run_name: run for run in runs("demo")}
    inputs = {
        name: {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs}
        for name, run in found.items()
    }
    assert set(inputs["collect seed 3"]) == {"world", "a/b", "corpus.txt"}
    assert inputs["train_classifier seed 3"]["world"] == inputs["collect seed 3"]["world"]
    assert set(inputs["align seed 3"]) == {"c/d"}
    above = {found[f"{x} seed 3"].data.tags["mlflow.parentRunId"] for x in ("collect", "mix")}
    assert above == {found["seed 3"].info.run_id}
    params = found["mix seed 3"].data.params
    assert params["recipe.parts.7.transform"] == "original"
    assert params["recipe.parts.7.scores"] == "[0, 1, 2, 3, 4, 5]"
    assert params["many.199"] == "name199"


def test_the_summary_is_a_run(job: Job) -> None:
    names = "recipe,safeguard,alignment,attack,decoder,evaluation,split,metric,seed,value,collapsed"
    cells = ["raw,none,none,none,greedy,asr,known", "raw,none,none,none,greedy,asr,novel"]
    rows = [f"{cell},attack_success,3,0.5,true" for cell in cells]
    rows.append("raw,none,none,none,safebeam,asr,known,attack_success,3,0.5,")
    summary = job.root / "summary.csv"
    summary.write_text("\n".join([names, *rows]) + "\n")
    store.import_results(job)
    (run,) = [run for run in runs("demo") if run.info.run_name == "summarize"]
    metrics = {name: run.data.metrics[f"count.{name}"] for name in ("rows", "cells", "collapsed")}
    assert metrics == {"rows": 3, "cells": 2, "collapsed": 1}
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("summary.csv", digest(summary)[:32])


def test_a_commit_with_edits_is_dirty(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    commit_of = runs_module.commit_of.__wrapped__  # without its memory
    assert commit_of(tmp_path) == ""
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    clean = commit_of(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert commit_of(tmp_path) == f"{clean}-dirty"


@pytest.mark.parametrize("name", ["broken.db", "file/mlflow.db", "folder"])
def test_a_store_that_is_broken_costs_a_warning_and_no_time(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    (tmp_path / "file").touch()  # so nothing can be written below it
    (tmp_path / "folder").mkdir()  # so no file can have this name
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/{name}")
    finish(tmp_path / "results/demo")
    job = Job("track", tmp_path / "results/demo", {}, {"name": "demo"})
    started = time.monotonic()
    store.create_store(job.root)
    store.import_results(job)
    assert time.monotonic() - started < 10
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" at ")[0] for line in lines] == ["warning: MLflow"] * 2
    assert json.loads((job.root / "tracking.json").read_text())["imported"] is False


def test_a_store_that_is_down_costs_a_warning(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    store.create_store(job.root)
    store.import_results(job)
    text = capsys.readouterr().err
    assert "MLflow at http://127.0.0.1:9 does not answer" in text
    assert "secret" not in text
    assert "secret" not in (job.root / "tracking_db.json").read_text()
    assert json.loads((job.root / "tracking.json").read_text())["imported"] is False


def finish_models(root: Path) -> None:
    """The base model aligned, and the aligned one attacked, as the stages leave them."""
    names = {**WILDCARDS, "alignment": "sft"}
    base, aligned = root / "models/3/raw/none/base", root / "models/3/raw/none/sft/aligned"
    made = {
        aligned: ("align", names, {"pretrain": base}),
        root / "attacks/3/raw/none/sft/benign": (
            "attack",
            {**names, "attack": "benign"},
            {"released": aligned},
        ),
    }
    for folder, (stage, wildcards, read) in made.items():
        spec = {"stage": stage, "wildcards": wildcards, "settings": {"world": {}}, "code": {}}
        inputs = {name: source / "manifest.json" for name, source in read.items()}
        with output_folder(folder) as temporary:
            (temporary / "model.safetensors").write_bytes(folder.name.encode())
            (temporary / "README.md").write_text(f"# {stage}")
            write_manifest(temporary, spec=spec, inputs=inputs)


def test_models_carry_card_digests_and_lineage(job: Job) -> None:
    finish_models(job.root)
    store.import_results(job)
    store.import_results(job)
    found = {run.info.run_name: run for run in runs("demo")}
    made = models("demo")
    base, aligned = made["models/3/raw/none/base"], made["models/3/raw/none/sft/aligned"]
    assert len(made) == 2 and {model.status.value for model in made.values()} == {"READY"}
    assert aligned.name == "align-sft-raw-seed-3"
    assert aligned.tags["card"] == "# align"
    folder = job.root / "models/3/raw/none/sft/aligned"
    assert aligned.tags["weights_sha256"] == digest(folder / "model.safetensors")
    assert aligned.tags["rebar.manifest_sha256"] == digest(folder / "manifest.json")
    assert aligned.tags["parent_model"] == base.model_id
    assert aligned.source_run_id == found["align sft raw seed 3"].info.run_id
    attack = found["attack benign sft raw seed 3"]
    (used,) = store.MlflowClient().get_run(attack.info.run_id).inputs.model_inputs
    assert used.model_id == aligned.model_id
    assert attack.data.tags["arm"] == "raw/none/sft"
    assert {used.dataset.name for used in attack.inputs.dataset_inputs} == {"released", "world"}
    assert not list(job.root.parent.parent.rglob("mlruns"))  # no weights are copied


def test_runs_are_found_by_recipe_attack_and_seed(job: Job) -> None:
    finish_models(job.root)
    store.import_results(job)
    client = store.MlflowClient()
    where = "tags.recipe = 'raw' and tags.attack = 'benign' and tags.seed = '3'"
    (run,) = client.search_runs([client.get_experiment_by_name("demo").experiment_id], where)
    assert run.info.run_name == "attack benign sft raw seed 3"


def test_the_reports_table_is_the_description_of_its_run(job: Job) -> None:
    (job.root / "summary.csv").write_text("recipe\n")
    (job.root / "table.md").write_text("| a |\n" * 5000)
    store.import_results(job)
    (run,) = [run for run in runs("demo") if run.info.run_name == "report"]
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("```\n| a |\n") and note.endswith("... cut; whole in table.md\n```")
    assert {used.dataset.name for used in run.inputs.dataset_inputs} == {"summary.csv"}
