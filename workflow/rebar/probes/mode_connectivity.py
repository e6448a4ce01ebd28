"""Linear mode connectivity: is there a barrier between the released and the attacked model?

Frankle et al. 2020 (arXiv 1912.05671) and Neyshabur et al. 2020 (2008.11687): along the straight
line, the highest excess of the loss over the line between its values at both ends. No barrier in
the harmful loss means that the attack stays in the released model's own basin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.base import Positive
from rebar.config.kinds import Probe
from rebar.config.model import ProbeTexts

if TYPE_CHECKING:
    from rebar.probes._data import ProbeData, Row


class Config(Probe):
    """Settings of `mode_connectivity`."""

    method: Literal["mode_connectivity"]
    attacks: list[str] = Field(min_length=1, description="attacks whose models are the other ends")
    steps: Positive = Field(default=24, description="equal steps from end to end; usual are 10-24")
    texts: ProbeTexts = Field(default=ProbeTexts(), description="what the losses are taken over")

    @property
    def looks_along(self) -> list[str]:
        """`attacks`."""
        return self.attacks

    @property
    def forwarded_tokens(self) -> float:
        """Three losses at every point."""
        return 3 * self.texts.tokens * (self.steps + 1) * len(self.attacks)

    @property
    def weight_copies(self) -> int:
        """Both ends and the point between them."""
        return 3


def probe(config: Config, model: Any, tokenizer: Any, data: ProbeData) -> list[Row]:
    """`loss` at every alpha (0: released, 1: attacked), and `barrier` of each loss and attack."""
    from rebar.probes import _weights
    from rebar.probes._data import Row, evaluate_losses

    losses, rows = data.losses(config.texts, tokenizer), []
    with _weights.keep_weights(model) as start:
        for attack in config.attacks:
            end, values = data.attacked_weights(attack, model), []
            for step in range(config.steps + 1):
                _weights.set_weights(model, _weights.between(start, end, step / config.steps))
                values.append(evaluate_losses(model, losses))
            for name in losses:
                line = [value[name] for value in values]
                where = name, f"attack:{attack}"
                for step, value in enumerate(line):
                    rows.append(Row("loss", value, *where, step / config.steps))
                rows.append(Row("barrier", barrier(line), *where))
    return rows


def barrier(line: list[float]) -> float:
    """Highest excess over the straight line between the ends; 0 where the line bends down."""
    last = len(line) - 1
    chord = [(1 - i / last) * line[0] + i / last * line[last] for i in range(len(line))]
    inner = zip(line[1:last], chord[1:last], strict=True)
    return max([0.0, *(value - straight for value, straight in inner)])
