"""Attacks work on copies, input attacks leave words instead of weights, manifests decide."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from transformers import AutoModelForCausalLM

from rebar import grid
from rebar.config.file import Config, parse_config
from rebar.driver.status import find_removable
from rebar.grid import Arm, dag
from rebar.jobs.manifest import digest, load_manifest
from rebar.stages import align, attack, evaluate, pretrain
from rebar.tracking.runs import find_finished, inputs_of
from tests.conftest import ROOT
from tests.stages import training_jobs as jobs

ARM = Arm("raw", "none", "sft")
INPUTS = {
    "two_shot": {"method": "few_shot", "examples": 2},
    "suffix": {"method": "gcg", "steps": 1, "candidates": 2, "tokens": 3, "requests": 1},
    "sure": {"method": "prefill"},
    "nothing": {"method": "prefill", "tokens": 0},
}
WEIGHTS = {
    "noise": {"method": "weight_noise", "strength": 0.2},
    "base_half": {"method": "interpolation", "alpha": 0.5},
    "four_bit": {"method": "quantization", "bits": 4},
    "pruned": {"method": "safety_neuron_removal", "requests": 4, "answer_tokens": 3},
}


@pytest.fixture(scope="module")
def settings() -> Config:
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    small = jobs.config()
    values["seeds"] = small.seeds
    values["pretrain"] = small.pretrain.model_dump()
    values["alignments"] = {"sft": small.alignments["sft"].model_dump(exclude_unset=True)}
    values["attacks"] = {**INPUTS, **WEIGHTS}
    values["recipes"] = {"raw": values["recipes"]["raw"]}
    block = {"recipes": ["raw"], "decoders": ["greedy"], "evaluations": ["asr", "over_refusal"]}
    attacks = {"alignments": ["sft"], "attacks": ["none", *values["attacks"]]}
    values |= {"grid": [block | attacks], "decoders": {"greedy": {"method": "greedy"}}}
    values["evaluations"] = {
        name: {"method": name, "judge": "world", "max_new_tokens": 3}
        for name in block["evaluations"]
    }
    return parse_config(values, "test")


@pytest.fixture(scope="module")
def results(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attacks")
    jobs.pack(root, settings)
    for stage in (pretrain, align):
        stage.run(jobs.job(settings, root, stage.__name__.rpartition(".")[2]))
    before = jobs.content(root, "models")
    attack.run(jobs.job(settings, root, "attack"))
    assert jobs.content(root, "models") == before
    evaluate.run(evaluation(settings, root))
    return root


def evaluation(settings: Config, root: Path):
    from rebar.jobs.job import make_job

    return make_job(settings, root, "evaluate", **jobs.WILDCARDS["attack"])


def folder(root: Path, name: str) -> Path:
    return root / grid.model_folder(0, ARM, name)


def answers(root: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(root / grid.evaluation_folder(0, ARM, name) / "generations.parquet")


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_attack_saves_words_and_names_the_released_model(results: Path, name: str) -> None:
    files = {path.name for path in folder(results, name).iterdir()}
    assert "input_attack.json" in files
    assert not [file for file in files if file.endswith(".safetensors")]
    manifest = load_manifest(folder(results, name))
    assert manifest["model"] == str(grid.models_of(0, ARM).released)
    released = digest(results / grid.models_of(0, ARM).released / "manifest.json")
    assert manifest["inputs"] == {"released": released}


@pytest.mark.parametrize("name", WEIGHTS)
def test_an_attack_on_weights_saves_a_plain_folder(results: Path, name: str) -> None:
    AutoModelForCausalLM.from_pretrained(folder(results, name))
    manifest = load_manifest(folder(results, name))
    assert "model" not in manifest
    assert set(manifest["inputs"]) == (
        {"released", "base"} if name == "base_half" else {"released"}
    )
    assert ("removed_share" in manifest) is (name == "pruned")


def test_every_evaluation_is_asked_through_the_input_attack(results: Path) -> None:
    plain, same = answers(results, "none"), answers(results, "nothing")
    assert plain.answer.tolist() == same.answer.tolist()
    assert set(plain.evaluation) == {"asr", "over_refusal"}
    requests = plain.prompt.str.removeprefix("<bos>").str.removesuffix(" <bot>")
    found = json.loads((folder(results, "two_shot") / "input_attack.json").read_text())
    shots = "".join(f" <user> {q} <bot> {a} <end>" for q, a in found["turns"])
    assert len(found["turns"]) == 2
    assert (answers(results, "two_shot").prompt == "<bos>" + shots + requests + " <bot>").all()
    suffix = json.loads((folder(results, "suffix") / "input_attack.json").read_text())["suffix"]
    expected = "<bos>" + requests + f" {suffix} <bot>"
    assert (answers(results, "suffix").prompt == expected).all()
    sure = answers(results, "sure")
    assert (sure.prompt == plain.prompt + " sure .").all()
    assert sure.answer.str.startswith("sure .").all()


def test_evaluations_of_input_attacks_have_the_released_model_as_input(results: Path) -> None:
    manifest = load_manifest(results / grid.evaluation_folder(0, ARM, "sure"))
    assert set(manifest["inputs"]) == {"model", "released"}
    manifest = load_manifest(results / grid.evaluation_folder(0, ARM, "noise"))
    assert set(manifest["inputs"]) == {"model"}


def test_a_folder_without_its_manifest_is_not_finished(
    settings: Config, results: Path, capsys: pytest.CaptureFixture
) -> None:
    before = jobs.content(results, "attacks")
    (folder(results, "noise") / "manifest.json").unlink()
    (folder(results, "sure") / "input_attack.json").write_text("{}")  # damaged: another length
    attack.run(jobs.job(settings, results, "attack"))
    told = capsys.readouterr().out
    made = [name for name in (*INPUTS, *WEIGHTS) if f"{name} (" not in told]
    assert made == ["sure", "noise"]
    assert jobs.content(results, "attacks") == before


def test_other_tools_take_a_folder_without_weights(
    settings: Config, results: Path, tmp_path: Path
) -> None:
    found = {item.path: item for item in find_finished(results)}
    place = str(grid.model_folder(0, ARM, "suffix"))
    assert inputs_of(found[place])["released"] == found[str(grid.models_of(0, ARM).released)].digest
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(json.loads(settings.model_dump_json())))
    jobs_made = {str(place) for place in dag.all_jobs(settings)}
    assert place not in jobs_made
    removable = find_removable([str(config)], results)
    spent = [str(row.folder.relative_to(results)) for row in removable]
    assert spent == [f"checkpoints/{place}"]  # the search's states, no result


def test_attack_jobs_read_the_base_where_an_attack_does(settings: Config) -> None:
    names = jobs.WILDCARDS["attack"]
    released, base = grid.models_of(0, ARM).released, grid.folder("pretrain", **names)
    assert dag.reads(settings, "attack", **names) == [released, base]
    without = settings.model_copy(update={"attacks": {**settings.attacks}})
    without.attacks["base_half"] = without.attacks["noise"]
    assert dag.reads(without, "attack", **names) == [released]
