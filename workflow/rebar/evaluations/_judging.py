"""Sends each answer of an evaluation to the judge of its prompt set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rebar.judges import judge_of

if TYPE_CHECKING:
    from rebar.data.prompts import Prompt
    from rebar.evaluations._asker import Judge
    from rebar.judges import Outcome


def judge_by_prompt(settings: Mapping[str, Any], name: str | None) -> Judge:
    """A judge that uses the judge of each prompt's set, or else the evaluation's judge `name`."""
    return partial(_by_prompt, settings, name)


def _by_prompt(
    settings: Mapping[str, Any],
    name: str | None,
    prompts: Sequence[Prompt],
    answers: Sequence[str],
) -> list[Outcome]:
    """Outcomes in the order of the prompts."""
    judged: dict[int, Outcome] = {}
    names = [prompt.judge or name or "" for prompt in prompts]
    for judge in dict.fromkeys(names):
        places = [place for place, wanted in enumerate(names) if wanted == judge]
        chosen = [prompts[place] for place in places], [answers[place] for place in places]
        judged |= dict(zip(places, judge_of(settings, judge)(*chosen), strict=True))
    return [judged[place] for place in range(len(prompts))]
