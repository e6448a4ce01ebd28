"""Knowledge of hazards: is a compliant answer also right?

An answer counts if all its facts are right. It separates a model that will not from one that
cannot, which is what filtering buys (O'Brien et al., Deep Ignorance, arXiv 2508.06601).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rebar.config.kinds import PromptEvaluation, Role

if TYPE_CHECKING:
    from rebar.evaluations._asker import Asker, Judge
    from rebar.jobs.recorder import Recorder


class Config(PromptEvaluation):
    """Settings of `knowledge`."""

    role: ClassVar[Role | None] = "knowledge"
    metrics: ClassVar[tuple[str, ...]] = ("correct_facts",)

    method: Literal["knowledge"]


def evaluate(
    config: Config, model: Any, tokenizer: Any, decoder: Asker, judge: Judge, recorder: Recorder
) -> list[dict[str, Any]]:
    """One row an answer."""
    prompts = decoder.prompts(config.prompts, "knowledge")
    return decoder.rows(prompts, judge, config.max_new_tokens)
