"""The stage `search`: trials of a budget, each once, and the worst case as a model of the grid."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from rebar import grid
from rebar.config import Config, parse_config
from rebar.manifest import read_manifest
from rebar.model.build import load_model
from rebar.stages import search as stage
from rebar.tuning import TrialFile
from tests.conftest import ROOT
from tests.grid_runs import run_job
from tests.stages import training_jobs as jobs

ARM = jobs.WILDCARDS["attack"]
SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-1},
    "training.batch_size": {"values": [4, 8]},
    "training.steps": {"low": 2, "high": 5},
}


def config(**search) -> Config:
    """The smoke config with a tuned attacker on one arm."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values["pretrain"] |= {"steps": 25}
    values["alignments"]["sft"]["data"] |= {"replay_share": 0.0}
    harmful = {"attack": "harmful_finetune_10", "trials": 6, "rounds": 2, "space": SPACE}
    values["searches"] = {"tuned_harmful": harmful | search}
    values["grid"][1]["attacks"] = [*values["grid"][1]["attacks"], "tuned_harmful"]
    return parse_config(values, "test")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with an aligned model."""
    root = tmp_path_factory.mktemp("search")
    settings = config()
    jobs.pack(root, settings)
    for name in ("pretrain", "align"):
        run_job(settings, root, name, **jobs.WILDCARDS[name])
    return root


def folder(root: Path, name: str = "tuned_harmful") -> Path:
    return root / grid.folder("search", **ARM) / name


def checkpoints(root: Path) -> Path:
    return root / "checkpoints" / grid.folder("search", **ARM) / "tuned_harmful"


def kept(root: Path) -> list[dict]:
    return json.loads((checkpoints(root) / "trials.json").read_text())["trials"]


def test_the_budget_is_spent_and_the_worst_case_is_a_model(released: Path) -> None:
    settings = config()
    run_job(settings, released, "search", **ARM)
    table = pd.read_csv(folder(released) / "trials.csv")
    assert list(table.trial) == list(range(6))
    own = settings.attacks["harmful_finetune_10"].training  # type: ignore[attr-defined]
    assert table["training.learning_rate"][0] == own.learning_rate
    assert table["training.steps"][1:].between(2, 5).all()
    manifest = read_manifest(folder(released))
    assert manifest["counts"]["trials"] == 6
    useful = table[table.is_useful]
    assert manifest["chosen"]["attack_success"] == useful.attack_success.max()
    assert manifest["chosen"]["number"] == useful.attack_success.idxmax()
    model, _ = load_model(folder(released))
    start, _ = load_model(released / grid.folder("align", **ARM))
    assert not torch.equal(model.lm_head.weight, start.lm_head.weight)
    assert grid.model_folder(0, grid.arm_of(ARM), "tuned_harmful") == folder(Path())


def test_a_killed_search_loses_and_repeats_no_trial(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its second and its fourth stack is written: what was finished stays."""
    settings = config(trials=7, rounds=3, together=2)
    run_job(settings, released, "search", **ARM)
    quiet, table = kept(released), (folder(released) / "trials.csv").read_bytes()
    for path in (folder(released) / "manifest.json", checkpoints(released) / "trials.json"):
        path.unlink()
    calls, examined = [], []
    whole_add, whole_examined = TrialFile.add, stage._examined

    def add(self: TrialFile, trials: list) -> None:
        calls.append(len(trials))
        if len(calls) in (2, 4):
            raise KeyboardInterrupt
        whole_add(self, trials)

    def counted(trials: dict, *rest):
        for trial in whole_examined(trials, *rest):
            examined.append(trial.number)
            yield trial

    monkeypatch.setattr(TrialFile, "add", add)
    monkeypatch.setattr(stage, "_examined", counted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_job(settings, released, "search", **ARM)
        assert all(trial in quiet for trial in kept(released))
    run_job(settings, released, "search", **ARM)
    assert kept(released) == quiet
    assert (folder(released) / "trials.csv").read_bytes() == table
    repeated = calls[1] + calls[3]  # the stacks that were under way
    assert len(examined) == 7 + repeated and set(examined) == set(range(7))


def test_trials_that_train_together_find_what_single_ones_find(released: Path) -> None:
    tables = []
    for together in (1, 8):
        run_job(config(together=together), released, "search", **ARM)
        tables.append(pd.read_csv(folder(released) / "trials.csv"))
    one, other = tables
    first = slice(0, 3)  # the first round; later ones follow from what it found
    pd.testing.assert_frame_equal(one[first].iloc[:, :4], other[first].iloc[:, :4])
    assert (one[first].attack_success - other[first].attack_success).abs().max() <= 0.25


def test_names_that_do_not_fit_are_told() -> None:
    values = config().model_dump(mode="json")
    values["searches"]["tuned_harmful"] |= {"attack": "nothing", "asr": "none"}
    with pytest.raises(ValueError) as error:
        grid.check(parse_config(values, "file"), "file")
    assert "searches.tuned_harmful.attack: 'nothing' is not defined" in str(error.value)
    assert "searches.tuned_harmful.asr: 'none' is not defined" in str(error.value)
    values["searches"] = {"harmful": values["searches"]["tuned_harmful"]}
    with pytest.raises(ValueError, match="tuned_"):
        parse_config(values, "file")


def test_a_key_that_the_attack_lacks_is_told(released: Path) -> None:
    settings = config(space={"training.rate": {"low": 1, "high": 2}})
    with pytest.raises(ValueError, match=r"space: the attack has no setting 'training.rate'"):
        run_job(settings, released, "search", **ARM)
