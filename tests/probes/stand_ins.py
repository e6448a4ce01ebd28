"""Functions whose landscape is known, in the place of a language model and its texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rebar.config.model import Model
from rebar.config.world import World
from rebar.judges import world as world_judge
from rebar.model.build import build_model
from rebar.model.release import release
from rebar.probes._data import LOSSES, Loss, ProbeData, Row, Task
from rebar.world.tokenizer import build_tokenizer

SMALL = Model(hidden_size=16, layers=2, heads=2, feed_forward_size=32)
TEXTS = {"examples": 4, "sequence_length": 48}


class Known(ProbeData):
    """The same losses for every text; attacked weights that are given."""

    def __init__(self, losses: Mapping[str, Loss], attacked: Mapping[str, Any] | None = None):
        super().__init__(World(), 3)
        object.__setattr__(self, "known", dict(losses))
        object.__setattr__(self, "weights", attacked or {})

    def losses(self, texts: Any, tokenizer: Any) -> dict[str, Loss]:
        return self.known  # type: ignore[attr-defined]

    def tasks(self, texts: Any, training: Any, tokenizer: Any) -> dict[str, Task]:
        return {name: Task(loss, loss) for name, loss in self.losses(texts, tokenizer).items()}

    def attacked_weights(self, attack: str, model: nn.Module) -> dict[str, Tensor]:
        return self.weights[attack]  # type: ignore[attr-defined]


class Vector(nn.Module):
    """Nothing but numbers: `w` of length n, or a matrix where rows are wanted."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(values.clone())


def symmetric(values: list[float], seed: int = 0) -> Tensor:
    """A matrix with these eigenvalues and random eigenvectors."""
    torch.manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64))
    return (basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T).float()


def quadratic(matrix: Tensor, centre: Tensor | None = None) -> Loss:
    """The loss (w - c)' A (w - c) / 2."""

    def loss(model: nn.Module) -> Tensor:
        moved = model.w.flatten() - (0 if centre is None else centre)  # type: ignore[union-attr,operator]
        return moved @ matrix @ moved / 2

    return loss


class Perceptron(nn.Module):
    """Two layers with a rectifier (or another bend) between them, over fixed data."""

    def __init__(self, seed: int = 0, bend: Any = torch.relu, inputs: int = 3, hidden: int = 5):
        super().__init__()
        self.bend = bend
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, 2)
        self.data = torch.randn(12, inputs), torch.randint(0, 2, (12,))

    def forward(self) -> Tensor:
        inputs, targets = self.data
        logits = self.second(self.bend(self.first(inputs)))
        return nn.functional.cross_entropy(logits, targets)

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Other weights of the same function: the rectifier lets a factor through."""
        self.first.weight *= factor
        self.first.bias *= factor
        self.second.weight /= factor


def of_model(model: Any) -> Tensor:
    """The loss of a Perceptron, as probes call it."""
    return model()


def explicit_hessian(model: nn.Module) -> Tensor:
    """The whole Hessian of a Perceptron's loss, by torch."""
    start = weights(model)
    sizes = [tensor.numel() for tensor in start.values()]

    def function(flat: Tensor) -> Tensor:
        parts = zip(start, flat.split(sizes), strict=True)
        point = {name: part.view_as(start[name]) for name, part in parts}
        return torch.func.functional_call(model, point, ())

    flat = torch.cat([tensor.flatten() for tensor in start.values()])
    matrix = torch.autograd.functional.hessian(function, flat)
    assert isinstance(matrix, Tensor)
    return matrix


def all_losses(loss: Loss) -> dict[str, Loss]:
    return dict.fromkeys(LOSSES, loss)


def found(rows: list[Row], metric: str, loss: str = "harmful", **where: Any) -> list[float]:
    """Values of the rows of a metric, in their order."""
    fits: Callable[[Row], bool] = lambda row: all(getattr(row, k) == v for k, v in where.items())  # noqa: E731
    return [r.value for r in rows if (r.metric, r.loss) == (metric, loss) and fits(r)]


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def tiny(folder: Path, seed: int = 0) -> tuple[Any, Any]:
    """A model of the world with random weights, released into the folder."""
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    model = build_model(SMALL, tokenizer)
    release(model, tokenizer, folder, "test")
    return model, tokenizer


def judge(prompts: Any, answers: Any) -> Any:
    return world_judge.judge(world_judge.Config(method="world"), prompts, answers)


def world_data(attacked: Mapping[str, Path] | None = None) -> ProbeData:
    return ProbeData(World(), 3, attacked or {}, {"world": judge})
