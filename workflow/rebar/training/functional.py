"""Evaluate a model's loss at given weights, without changing the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from rebar.model.forward import language_loss


class WeightFunction(nn.Module):
    """`function(model, ...)` as a function of the weights; the model's own weights stay unchanged.

    Stacked training and meta-learning differentiate it with respect to the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        function: Callable[..., Tensor] = language_loss,
        *,
        tied: bool = True,
    ) -> None:
        """`tied`: a matrix that the model uses twice is passed under its first name only."""
        super().__init__()
        self.model, self.function, self.tied = model, function, tied

    def at(self, weights: Mapping[str, Tensor], *arguments: Any) -> Tensor:
        """The function's value at these weights, by parameter name; others are the model's own."""
        # functional_call replaces parameters of this module, of which the model is a part.
        named = {f"model.{name}": weight for name, weight in weights.items()}
        return functional_call(self, named, arguments, tie_weights=self.tied)

    def forward(self, *arguments: Any) -> Tensor:
        """The function's value at the weights that are in place."""
        return self.function(self.model, *arguments)
