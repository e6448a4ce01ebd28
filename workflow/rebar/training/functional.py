"""A model's loss as a function of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from rebar.model.forward import language_loss


class WeightFunction(nn.Module):
    """`function(model, ...)` at other weights than the model's own; those stay as they are."""

    def __init__(
        self,
        model: nn.Module,
        function: Callable[..., Tensor] = language_loss,
        *,
        tied: bool = True,
    ) -> None:
        """`tied`: one matrix that the model has in two places is given by its first name alone."""
        super().__init__()
        self.model, self.function, self.tied = model, function, tied

    def at(self, weights: Mapping[str, Tensor], *arguments: Any) -> Tensor:
        """Its value at these weights, by parameter name; those not given are the model's own."""
        named = {f"model.{name}": weight for name, weight in weights.items()}
        return functional_call(self, named, arguments, tie_weights=self.tied)

    def forward(self, *arguments: Any) -> Tensor:
        """The function at the weights that are in place."""
        return self.function(self.model, *arguments)
