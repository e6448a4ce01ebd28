"""Weight noise: Gaussian noise on every tensor, relative to its size.

Noise reveals what a model hides (Tice et al., arXiv 2412.01784, who add the same absolute deviation
to all weights). Ours is relative, so that one number fits models of any scale: the deviation is
`strength` times the tensor's root mean square, and the noise has about `strength` times its norm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.kinds import Attack

if TYPE_CHECKING:
    from rebar.attacks._target import Target


class Config(Attack):
    """Settings of `weight_noise`."""

    method: Literal["weight_noise"]
    strength: float = Field(
        ge=0, description="deviation of the noise / root mean square of the tensor; 0: no attack"
    )


def attack(config: Config, target: Target) -> Any:
    """Add the noise of the seed, the same on every device; returns the model."""
    import torch

    generator = torch.Generator().manual_seed(target.data.seed)
    with torch.no_grad():
        for weights in target.model.parameters() if config.strength else ():  # tied ones once
            noise = torch.randn(weights.shape, generator=generator).to(weights)
            weights += noise * (config.strength * weights.square().mean().sqrt())
    return target.model
