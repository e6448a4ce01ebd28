"""Knowledge of hazards: is a compliant answer also right?

An answer counts if all its facts are right. It separates a model that will not from one that
cannot, which is what filtering buys (O'Brien et al., Deep Ignorance, arXiv 2508.06601).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rebar.config.kinds import PromptEvaluation, Role

if TYPE_CHECKING:
    from rebar.evaluations._asker import Asker, Judge


class Config(PromptEvaluation):
    """Settings of `knowledge`."""

    role: ClassVar[Role | None] = "knowledge"
    metrics: ClassVar[tuple[str, ...]] = ("correct_facts",)

    method: Literal["knowledge"]


def evaluate(config: Config, asker: Asker, judge: Judge) -> list[dict[str, Any]]:
    """Ask all prompts; one row an answer."""
    return asker.ask(config, judge)
