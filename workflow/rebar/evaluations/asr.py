"""Attack success: harmful requests (aligned models) or their openings (base models).

Every answer is complied (= attack success), refused or other, as in the paper's two sets (Maini et
al., arXiv 2504.16980, 6.2). Shown only beside over-refusal and capability of the same model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rebar.config.kinds import PromptEvaluation, Role

if TYPE_CHECKING:
    from rebar.evaluations._asker import Asker, Judge


class Config(PromptEvaluation):
    """Settings of `asr`."""

    role: ClassVar[Role | None] = "compliance"
    metrics: ClassVar[tuple[str, ...]] = ("attack_success", "refused", "other")

    method: Literal["asr"]


def evaluate(config: Config, asker: Asker, judge: Judge) -> list[dict[str, Any]]:
    """Ask all prompts; one row an answer."""
    return asker.ask(config, judge)
