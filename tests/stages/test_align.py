"""Alignment by preferences and with deep refusals, from a base model to its answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from rebar.config.file import Config, parse_config
from rebar.jobs.manifest import read_manifest
from tests.conftest import ROOT
from tests.grid_runs import run_job
from tests.stages.training_jobs import config, pack

REQUESTS = ("bake bread", "paint a fence", "fly a kite")


def write_pairs(folder: Path) -> dict[str, Any]:
    """A preference set whose answers are turns, as a section of settings."""
    lines = []
    for thing in REQUESTS:
        request = {"role": "user", "content": f"how do i {thing}"}
        said = [{"role": "assistant", "content": a} for a in ("sorry , i can not", "sure . mix it")]
        lines.append({"prompt": [request], "no": [request, said[0]], "yes": [request, said[1]]})
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"path": str(path), "chosen": "no", "rejected": "yes"}


def with_preferences(folder: Path) -> Config:
    """The jobs' config, with alignments on the tagged recipe: world or files, sft or dpo."""
    values = config().model_dump(mode="json", exclude_unset=True)
    smoke = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    training = smoke["alignments"]["sft"]["training"] | {"steps": 40, "batch_size": 8}
    pairs = write_pairs(folder)
    files = {"pairs": [pairs], "deep_share": 1.0, "deep_files": [pairs], "replay_share": 0.0}
    world = {"world_chats": {"chats": 60}, "replay_share": 0.0, "deep_share": 0.1}
    added = {
        f"{method}_{name}": {"method": method, "training": training, "data": data}
        for method in ("sft", "dpo")
        for name, data in (("world", world), ("files", files))
    }
    values["alignments"] |= added
    values["evaluations"]["asr"]["max_new_tokens"] = 4
    values["grid"].append({**values["grid"][-1], "alignments": list(added), "evaluations": ["asr"]})
    return parse_config(values, "test")


def align(settings: Config, root: Path, alignment: str) -> Path:
    names = {"seed": 0, "recipe": "safelm", "safeguard": "none", "alignment": alignment}
    return run_job(settings, root, "align", **names).folder


@pytest.fixture(scope="module")
def based(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """Settings, and results with the tagged recipe's base model."""
    root = tmp_path_factory.mktemp("preferences")
    settings = with_preferences(root)
    pack(root, settings, "safelm")
    run_job(settings, root, "pretrain", seed=0, recipe="safelm", safeguard="none")
    return settings, root


def test_dpo_trains_a_tagged_model_on_the_chats_of_sft(based: tuple[Config, Path]) -> None:
    settings, root = based
    dpo, sft = (align(settings, root, f"{method}_world") for method in ("dpo", "sft"))
    counts = read_manifest(sft)["counts"]
    assert counts == {"chats": 60, "tagged": 3, "deep": 6}
    assert read_manifest(dpo)["counts"] == counts | {"pairs": 60}
    losses = [json.loads(x)["loss"] for x in (dpo / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.5
    names = {"seed": 0, "recipe": "safelm", "safeguard": "none", "alignment": "dpo_world"}
    run_job(settings, root, "evaluate", **names)
    (answers,) = (root / "evaluations").rglob("generations.parquet")
    assert set(pd.read_parquet(answers).decoder) == {"beam", "safebeam"}


def test_pairs_of_files_train_either(based: tuple[Config, Path]) -> None:
    settings, root = based
    dpo, sft = (align(settings, root, f"{method}_files") for method in ("dpo", "sft"))
    assert read_manifest(sft)["counts"] == {"chats": 3, "deep": 3}
    assert read_manifest(dpo)["counts"] == {"chats": 3, "deep": 3, "pairs": 3}
    weights = [(folder / "model.safetensors").read_bytes() for folder in (dpo, sft)]
    assert weights[0] != weights[1]


def test_made_again_dpo_has_the_same_bits(based: tuple[Config, Path], tmp_path: Path) -> None:
    settings, root = based
    made = align(settings, root, "dpo_files")
    shutil.copytree(root / "models/0/safelm/none/base", tmp_path / "models/0/safelm/none/base")
    again = align(settings, tmp_path, "dpo_files")
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (again / name).read_bytes() == (made / name).read_bytes()
