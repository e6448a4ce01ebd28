"""The learning rate of fine-tuning attacks, chosen by the task alone.

`python -m benchmarks.learning_rates --configfile config/demo.yaml --attack benign_finetune` attacks
the grid's first model that has the attack, once for each rate of a ladder, and asks the validation
questions of the benign task. The choice is the smallest rate that teaches the task to 90 % of the
ladder's best; a report shows a third of it and three times it beside it, for benign and harmful
fine-tuning alike. Nothing here asks a harmful question. Tune on a seed that no report shows (0-9).
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from rebar import grid
from rebar.attacks import benign_finetune
from rebar.attacks._data import AttackData
from rebar.config.file import Config, load_config
from rebar.jobs.manifest import read_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import load_model
from rebar.model.device import on_local_device
from rebar.training.finetune import greedy_answers

ENOUGH = 0.9  # of the best accuracy
FACTOR = 3.0  # between two rates


def ladder(rate: float, rungs: int) -> list[float]:
    """Rates around one, `rungs` down and as many up."""
    return [rate * FACTOR**rung for rung in range(-rungs, rungs + 1)]


def choose(accuracy_of: Mapping[float, float]) -> float:
    """The smallest rate that comes to 90 % of the best accuracy; ValueError if none teaches."""
    ceiling = max(accuracy_of.values())
    if ceiling == 0:
        raise ValueError("no rate of the ladder teaches the task; raise steps or --rungs")
    return min(rate for rate, accuracy in accuracy_of.items() if accuracy >= ENOUGH * ceiling)


def accuracies(
    setting: benign_finetune.Config, folder: Path, data: AttackData, rungs: int
) -> Iterator[tuple[float, float]]:
    """Each rate of the ladder with the share of validation questions answered right after it."""
    for rate in ladder(setting.training.learning_rate, rungs):
        yield rate, _accuracy(_with_rate(setting, rate), folder, data)


def _with_rate(setting: benign_finetune.Config, rate: float) -> benign_finetune.Config:
    """At equal steps: a run that stops at an accuracy says nothing about its rate."""
    training = setting.training.model_copy(update={"learning_rate": rate})
    return setting.model_copy(update={"training": training, "target_accuracy": None})


def _accuracy(setting: benign_finetune.Config, folder: Path, data: AttackData) -> float:
    model, tokenizer = load_model(folder)
    torch.manual_seed(data.seed)
    with tempfile.TemporaryDirectory() as scratch:
        recorder = Recorder(Path(scratch), "ladder", io.StringIO())
        model = on_local_device(model)
        model = benign_finetune.attack(setting, model, tokenizer, data, recorder)
    questions = data.validation_questions(setting.validation)
    answers = greedy_answers(model, tokenizer, questions, setting.answer_tokens)
    return data.validation_accuracy(questions, answers)


def released_model(config: Config, results: Path, attack: str, seed: int) -> Path:
    """The folder of the first model that the grid attacks so; ValueError if there is none."""
    for arm in grid.arms(config):
        if attack in grid.attacks(config, arm):
            acts_in = grid.acts_in(config, arm.safeguard)
            folder = results / grid.models_of(seed, arm, acts_in).released
            read_manifest(folder)
            return folder
    raise ValueError(f"--attack {attack}: no block of grid: has it")


def _setting(config: Config, attack: str) -> benign_finetune.Config:
    setting: Any = config.attacks.get(attack)
    if not isinstance(setting, benign_finetune.Config):
        raise ValueError(
            f"--attack {attack}: the ladder needs a task with right answers, so an attack of "
            "method benign_finetune"
        )
    return setting


def main() -> None:
    """Print accuracy by rate, and the choice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--configfile", type=Path, default=Path("config/demo.yaml"))
    parser.add_argument("--attack", default="benign_finetune", help="a name under attacks:")
    parser.add_argument("--seed", type=int, help="default: the first of the config")
    parser.add_argument("--rungs", type=int, default=3, help="rates below and above the config's")
    options = parser.parse_args()
    config = load_config(options.configfile)
    setting = _setting(config, options.attack)
    seed = config.seeds[0] if options.seed is None else options.seed
    folder = released_model(config, Path("results") / config.name, options.attack, seed)
    print(f"{folder}: accuracy on validation questions after {setting.training.steps} steps")
    found: dict[float, float] = {}
    for rate, accuracy in accuracies(
        setting, folder, AttackData(config.world, seed), options.rungs
    ):
        found[rate] = accuracy
        print(f"  {rate:.2e}  {accuracy:.3f}", flush=True)
    chosen = choose(found)
    print(f"learning_rate: {chosen:.2e}, beside {chosen / FACTOR:.2e} and {chosen * FACTOR:.2e}")


if __name__ == "__main__":
    main()
