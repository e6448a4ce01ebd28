"""The defender: trains an encoder on masked words and professions, with MLAC or AC beside them."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.self_destructing.biographies import PAD, Split
from benchmarks.self_destructing.encoder import Classifier
from rebar.safeguards.mlac.linear_adversary import best_linear_loss
from rebar.safeguards.mlac.unrolled import Weights, adam_step, adapted, no_moments
from rebar.training.checkpoints import trained_parameters
from rebar.training.functional import WeightFunction

BAD_HEAD = "heads.attribute.weight"


class Defence(NamedTuple):
    """Settings of MLAC: K = 16 inner steps and the best linear adversary.

    AC is K = 0 with the adversary's plain loss. `head` is the adversary's classifier: one that is
    learned over the steps, or a random one in each step.
    """

    inner_steps: int = 16
    linear: bool = True
    head: str = "learned"
    inner_batches: tuple[int, ...] = (8, 16, 24)
    inner_clip: float = 100.0
    initial_rate: float = 3e-4
    rate_bounds: tuple[float, float] = (1e-6, 1e-2)
    adversary_rate: float = 1e-4


class DefenderTraining(NamedTuple):
    """The defender's outer training with Adam."""

    steps: int = 50_000
    batch: int = 10
    learning_rate: float = 1e-4
    clip: float = 10.0


def pretrain(model: Classifier, train: Split, steps: int, seed: int) -> None:
    """Train on guessing hidden words (15 %), for users without a pre-trained encoder."""
    optimizer, generator = Adam(model.parameters(), lr=1e-3), torch.Generator().manual_seed(seed)
    for step in range(steps):
        ids_NT = _batch(train, 32, f"{seed}/{step}/masked").ids_NT
        chance_NT = torch.rand(ids_NT.shape, generator=generator)
        masked_NT = (chance_NT < 0.15) & (ids_NT != PAD)
        model.masked_loss(ids_NT, masked_NT).backward()
        optimizer.step()
        optimizer.zero_grad()


def train(
    model: Classifier,
    data: Split,
    outer: DefenderTraining,
    seed: int,
    defence: Defence | None = None,
) -> list[dict[str, float]]:
    """Train for professions and, with a defence, against learning the attribute; return the log."""
    adversary = Adversary(model, defence, seed) if defence else None
    parameters = {n: p for n, p in trained_parameters(model).items() if n != BAD_HEAD}
    optimizer = Adam(parameters.values(), lr=outer.learning_rate)
    logged = []
    for step in range(outer.steps):
        batch = _batch(data, outer.batch, f"{seed}/{step}/good")
        loss = model.loss(batch.ids_NT, batch.profession_N, "profession")
        loss.backward()
        numbers = {"profession_loss": float(loss.detach())}
        if adversary is not None:
            numbers |= adversary.oppose(data, outer.batch, step)
        nn.utils.clip_grad_norm_(parameters.values(), outer.clip)
        optimizer.step()
        model.zero_grad()
        logged.append(numbers)
    if adversary is not None and adversary.defence.head == "learned":
        with torch.no_grad():
            model.get_parameter(BAD_HEAD).copy_(adversary.learned["head"])
    return logged


class Adversary:
    """The simulated attacker that learns the attribute: a head and a learning rate."""

    def __init__(self, model: Classifier, defence: Defence, seed: int) -> None:
        self.model, self.defence, self.seed = model, defence, seed
        head = model.get_parameter(BAD_HEAD).detach().clone()
        rate = torch.tensor(math.log(defence.initial_rate), dtype=head.dtype)
        self.learned = {"head": head, "log_rate": rate}
        self.moments = no_moments(self.learned)
        self.loss = WeightFunction(model, Classifier.loss)
        self.linear = WeightFunction(model, _linear_loss)

    def oppose(self, data: Split, batch_size: int, step: int) -> dict[str, float]:
        """Subtract the gradient of the adversary's mean loss from the model's `.grad`.

        Then the adversary itself takes a step.
        """
        defence, rate = self.defence, self.learned["log_rate"].exp()
        start = {name: p.detach() for name, p in trained_parameters(self.model).items()}
        start[BAD_HEAD] = self._head(step)
        held = _batch(data, batch_size, f"{self.seed}/{step}/held")

        def inner_loss(weights: Weights, inner: int) -> Tensor:
            name = f"{self.seed}/{step}/inner/{inner}"
            size = random.Random(name).choice(defence.inner_batches)
            batch = _batch(data, size, name)
            return self.loss.at(weights, batch.ids_NT, batch.attribute_N, "attribute")

        measured = self.linear if defence.linear else self.loss
        found = adapted(
            start,
            rate,
            inner_loss,
            lambda weights: measured.at(weights, held.ids_NT, held.attribute_N, "attribute"),
            steps=defence.inner_steps,
            clip=defence.inner_clip,
        )
        for name, parameter in trained_parameters(self.model).items():
            if name != BAD_HEAD and parameter.grad is not None:
                parameter.grad -= found.gradient[name]
        self._learn(found.gradient[BAD_HEAD], found.rate_gradient * rate, step)
        return {"adapted_loss": float(found.values.mean()), "adversary_rate": float(rate)}

    def _head(self, step: int) -> Tensor:
        if self.defence.head == "learned":
            return self.learned["head"]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        limit = self.learned["head"].shape[1] ** -0.5  # as torch initialises a linear layer
        return (2 * torch.rand(self.learned["head"].shape, generator=generator) - 1) * limit

    def _learn(self, by_head: Tensor, by_log_rate: Tensor, step: int) -> None:
        gradients = {"head": by_head, "log_rate": by_log_rate}
        rate, bounds = self.defence.adversary_rate, self.defence.rate_bounds
        self.learned, self.moments = adam_step(
            self.learned, gradients, self.moments, step + 1, rate
        )
        low, high = (math.log(bound) for bound in bounds)
        self.learned["log_rate"] = self.learned["log_rate"].clamp(low, high)


def _linear_loss(model: Classifier, ids_NT: Tensor, labels_N: Tensor, task: str) -> Tensor:
    return best_linear_loss(model.logits_NC(ids_NT, task), labels_N)


def _batch(data: Split, size: int, name: str) -> Split:
    """Draw distinct examples at random; equal names draw equal examples."""
    count = len(data.ids_NT)
    return data.take(random.Random(name).sample(range(count), min(size, count)))
