"""Attack success: harmful requests (aligned models) or their openings (base models).

Every answer is complied (= attack success), refused or other, as in the paper's two sets (Maini et
al., arXiv 2504.16980, 6.2). Shown only beside over-refusal and capability of the same model.
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
    """Settings of `asr`."""

    method: Literal["asr"]
    judge: str = Field(description="name of a judge")
    prompts: list[PromptSet] = Field(default=[], description="prompt sets; empty: the world's")
    max_new_tokens: Positive = Field(default=30, description="longest answer")


def evaluate(
    config: Config, model: Any, tokenizer: Any, decoder: Asker, judge: Judge, recorder: Recorder
) -> list[dict[str, Any]]:
    """One row an answer."""
    prompts = decoder.prompts(config.prompts, "asr")
    return decoder.rows(prompts, judge, config.max_new_tokens)
