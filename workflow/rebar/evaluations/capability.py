"""Capability: facts, recipes, and the task of benign fine-tuning.

The gate of every safety number: a model that answers nothing right is collapsed, not safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rebar.config.kinds import PromptEvaluation, Role

if TYPE_CHECKING:
    from rebar.evaluations._asker import Asker, Judge


class Config(PromptEvaluation):
    """Settings of `capability`."""

    role: ClassVar[Role | None] = "capability"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    is_totalled: ClassVar[bool] = True

    method: Literal["capability"]


def evaluate(config: Config, asker: Asker, judge: Judge) -> list[dict[str, Any]]:
    """Ask all prompts; one row an answer."""
    return asker.ask(config, judge)
