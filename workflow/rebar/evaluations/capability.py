"""Capability: facts, recipes, and the task of benign fine-tuning.

The gate of every safety number: a model that answers nothing right is collapsed, not safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rebar.config.kinds import PromptEvaluation, Role

if TYPE_CHECKING:
    from rebar.evaluations._asker import Asker, Judge
    from rebar.jobs.recorder import Recorder


class Config(PromptEvaluation):
    """Settings of `capability`."""

    role: ClassVar[Role | None] = "capability"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    is_totalled: ClassVar[bool] = True

    method: Literal["capability"]


def evaluate(
    config: Config, model: Any, tokenizer: Any, decoder: Asker, judge: Judge, recorder: Recorder
) -> list[dict[str, Any]]:
    """One row an answer."""
    prompts = decoder.prompts(config.prompts, "capability")
    return decoder.rows(prompts, judge, config.max_new_tokens)
