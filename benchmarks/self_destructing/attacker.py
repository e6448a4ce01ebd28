"""The paper's attacker: tunes few-shot fine-tuning, then repeats the best setting."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
import torch
from torch.optim import Adam

from benchmarks.self_destructing.biographies import Biographies, Split
from benchmarks.self_destructing.encoder import Classifier

EVALUATIONS = 5  # per run; the best one counts, in the attacker's favour
Values = dict[str, Any]


class Budget(NamedTuple):
    """What the attacker may spend; the defaults are the published ones."""

    shots: tuple[int, ...] = (20, 50, 100, 200)
    trials: int = 50
    patience: int = 15  # trials without improvement
    seeds: int = 15
    steps: tuple[int, int] = (100, 1000)


class Outcome(NamedTuple):
    """An attack's accuracy on the test biographies."""

    shots: int
    seed: int
    accuracy: float
    values: Values


def measure_curve(model: Classifier, data: Biographies, budget: Budget, seed: int) -> list[Outcome]:
    """For each number of examples, tune on validation data and test the best setting.

    The test is repeated with `budget.seeds` seeds.
    """
    outcomes = []
    for shots in budget.shots:
        values = search_settings(model, data, shots, budget, seed)
        for number in range(budget.seeds):
            examples = draw_examples(data.attackers, shots, f"{seed}/seed {number}/{shots}")
            accuracy = attack(model, examples, values, data.test, seed + 1 + number)
            outcomes.append(Outcome(shots, number, accuracy, values))
    return outcomes


def search_settings(
    model: Classifier, data: Biographies, shots: int, budget: Budget, seed: int
) -> Values:
    """The setting with the best validation accuracy, found by TPE (Bergstra et al. 2011)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    examples = draw_examples(data.attackers, shots, f"{seed}/search/{shots}")
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    best, since = -1.0, 0
    for _ in range(budget.trials):
        trial = study.ask()
        values = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
            "steps": trial.suggest_int("steps", *budget.steps),
            "batch": trial.suggest_categorical("batch", [8, 16, 32]),
            "reset_head": trial.suggest_categorical("reset_head", [True, False]),
            "freeze_layers": trial.suggest_categorical("freeze_layers", [True, False]),
        }
        accuracy = attack(model, examples, values, data.validation, seed)
        study.tell(trial, accuracy)
        best, since = (accuracy, 0) if accuracy > best else (best, since + 1)
        if since >= budget.patience:
            break
    return study.best_params


def attack(
    model: Classifier,
    examples: Split,
    values: Mapping[str, Any],
    judged: Split,
    seed: int,
    task: str = "attribute",
) -> float:
    """Fine-tune a copy of the model on the examples; return its best accuracy during the run.

    Accuracy is measured on the labels of `judged`. With `freeze_layers` the transformer's layers
    are frozen; embeddings, pooler and head are trained.
    """
    model, rng = copy.deepcopy(model), random.Random(f"{seed}/attack")
    if values["reset_head"]:
        torch.manual_seed(seed)
        model.heads[task].reset_parameters()  # pyright: ignore[reportCallIssue]
    if values["freeze_layers"]:
        model.encoder.encoder.requires_grad_(False)
    optimizer = Adam([p for p in model.parameters() if p.requires_grad], lr=values["learning_rate"])
    count, best = len(examples.ids_NT), 0.0
    for step in range(1, values["steps"] + 1):
        batch = examples.take(rng.sample(range(count), min(values["batch"], count)))
        model.loss(batch.ids_NT, getattr(batch, f"{task}_N"), task).backward()
        optimizer.step()
        model.zero_grad()
        if step % max(1, values["steps"] // EVALUATIONS) == 0:
            best = max(best, accuracy(model, judged, task))
    return best


@torch.no_grad()
def accuracy(model: Classifier, judged: Split, task: str) -> float:
    """Share of examples whose class is predicted correctly."""
    found_N = model.logits_NC(judged.ids_NT, task).argmax(dim=1)
    return float((found_N == getattr(judged, f"{task}_N")).float().mean())


def draw_examples(pool: Split, count: int, name: str) -> Split:
    """Draw examples from the attackers' pool; equal names draw equal examples."""
    return pool.take(random.Random(name).sample(range(len(pool.ids_NT)), count))


def examples_needed(outcomes: Sequence[Outcome], level: float) -> int | None:
    """The fewest examples whose mean accuracy over seeds reaches the level; None if none do."""
    for shots in sorted({outcome.shots for outcome in outcomes}):
        found = [outcome.accuracy for outcome in outcomes if outcome.shots == shots]
        if sum(found) / len(found) >= level:
            return shots
    return None
