"""Knowledge of hazards: is a compliant answer also right?

An answer counts if all its facts are right. It separates a model that will not from one that
cannot, which is what filtering buys (O'Brien et al., Deep Ignorance, arXiv 2508.06601).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.base import Positive, Settings
from rebar.config.benchmarks import PromptSet

if TYPE_CHECKING:
    from rebar.evaluations._asking import Asker, Judge
    from rebar.jobs.recorder import Recorder


class Config(Settings):
    """Settings of `knowledge`."""

    method: Literal["knowledge"]
    judge: str = Field(description="name of a judge")
    prompts: list[PromptSet] = Field(default=[], description="prompt sets; empty: the world's")
    max_new_tokens: Positive = Field(default=30, description="longest answer")


def evaluate(
    config: Config, model: Any, tokenizer: Any, decoder: Asker, judge: Judge, recorder: Recorder
) -> list[dict[str, Any]]:
    """One row an answer."""
    prompts = decoder.prompts(config.prompts, "knowledge")
    return decoder.rows(prompts, judge, config.max_new_tokens)
