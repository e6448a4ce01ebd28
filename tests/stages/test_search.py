"""The stage `search`: trials of a budget, each once, and the worst case as a model of the grid."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from rebar import grid
from rebar.attacks._tuning import TrialFile
from rebar.config.file import parse_config
from rebar.evaluations._examiner import Examined
from rebar.grid.check import check_grid
from rebar.jobs.manifest import read_manifest
from rebar.model.build import load_model
from rebar.stages import search as stage
from tests.grid_runs import run_job
from tests.stages.search_jobs import ARM, config, release


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(tmp_path_factory.mktemp("search"))


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


def test_a_defence_that_resists_the_default_rate_alone_is_broken(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: it holds while the weights have hardly moved; far away the model is wrecked."""
    start, _ = load_model(released / grid.folder("align", **ARM))
    origin = {name: p.detach().clone() for name, p in start.named_parameters()}

    def examine(model, *_) -> Examined:
        named = dict(model.named_parameters())
        moved = sum(float((named[n] - p).detach().square().sum()) for n, p in origin.items())
        distance = (moved / sum(float(p.square().sum()) for p in origin.values())) ** 0.5
        return Examined(float(0.1 < distance < 0.3), 0.0, float(distance < 0.3), 0.0)

    planted = SimpleNamespace(examine=examine)
    monkeypatch.setattr(stage, "_examiner", lambda *_: planted)
    rates = {"training.learning_rate": {"low": 1e-6, "high": 1.0}}
    settings = config(trials=30, rounds=5, space=rates)
    run_job(settings, released, "search", **ARM)
    manifest, table = read_manifest(folder(released)), pd.read_csv(folder(released) / "trials.csv")
    assert table.attack_success[0] == 0  # at the default rate it holds
    assert manifest["chosen"]["attack_success"] == 1 and manifest["chosen"]["is_useful"]
    assert (table.attack_success == 1).mean() < 0.8  # it had to be looked for
    attacked, _ = load_model(folder(released))
    assert examine(attacked).complied == 1  # and the model of the grid is the broken one


def test_names_that_do_not_fit_are_told() -> None:
    values = config().model_dump(mode="json")
    values["searches"]["tuned_harmful"] |= {"attack": "nothing", "asr": "none"}
    with pytest.raises(ValueError) as error:
        check_grid(parse_config(values, "file"), "file")
    assert "searches.tuned_harmful.attack: 'nothing' is not defined" in str(error.value)
    assert "searches.tuned_harmful.asr: 'none' is not defined" in str(error.value)
    values["searches"] = {"harmful": values["searches"]["tuned_harmful"]}
    with pytest.raises(ValueError, match="tuned_"):
        parse_config(values, "file")


def test_a_key_that_the_attack_lacks_is_told(released: Path) -> None:
    settings = config(space={"training.rate": {"low": 1, "high": 2}})
    with pytest.raises(ValueError, match=r"space: the attack has no setting 'training.rate'"):
        run_job(settings, released, "search", **ARM)
