"""Prefilling: the answer begins with words that the attacker wrote (Andriushchenko et al. 2024).

Alignment acts on the first tokens of an answer more than on later ones, so that a few tokens of
compliance undo it (arXiv 2404.02151; Qi et al., arXiv 2406.05946: 5, 10, 20 or 40 tokens). The same
words begin every answer, and what is judged begins with them too: a refusal that follows them is
one. The weights stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rebar.config.base import Count
from rebar.config.kinds import InputAttack

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.input_attack import InputWords


class Config(InputAttack):
    """Settings of `prefill`."""

    method: Literal["prefill"]
    opening: str | None = Field(
        default=None,
        description="words that answers begin with, such as `Sure, here is`; none: the world's",
    )
    tokens: Count | None = Field(
        default=None, description="only so many of its first tokens; none: all, 0: no attack"
    )


def words(config: Config, target: Target) -> InputWords:
    """The opening of every answer."""
    from rebar.data.encoding import encode
    from rebar.data.input_attack import InputWords

    opening = target.data.agreement(config.opening)
    if config.tokens is not None:
        ids = encode(target.tokenizer, opening)[: config.tokens]
        opening = target.tokenizer.decode(ids)
    return InputWords(prefill=opening)
