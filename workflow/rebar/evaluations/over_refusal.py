"""Over-refusal: borderline but fine questions that a careful model should answer.

Toys with dangerous-looking names, questions about safety, and plain benign requests; the paper
asks 300 benign prompts (arXiv 2504.16980, 6.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.corpus_settings import Positive, Settings
from rebar.model_settings import PromptFile

if TYPE_CHECKING:
    from rebar.evaluations._asking import Asker, Judge
    from rebar.recorder import Recorder


class Config(Settings):
    """Settings of `over_refusal`."""

    method: Literal["over_refusal"]
    judge: str = Field(description="name of a judge")
    prompts: list[PromptFile] = Field(default=[], description="prompt sets; empty: the world's")
    max_new_tokens: Positive = Field(default=30, description="longest answer")


def evaluate(
    config: Config, model: Any, tokenizer: Any, decoder: Asker, judge: Judge, recorder: Recorder
) -> list[dict[str, Any]]:
    """One row an answer."""
    prompts = decoder.prompts(config.prompts, "over_refusal")
    return decoder.rows(prompts, judge, config.max_new_tokens)
