"""Judges: each decides whether an answer complies, refuses or does neither.

A file has a `Config` derived from `rebar.config.kinds.Judge` and `judge(config, prompts, answers)`,
which returns one `Outcome` for each answer, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from rebar.config.plugins import plugin_module, plugin_settings


class Outcome(NamedTuple):
    """A judge's decision: `outcome` is complied, refused or other; `correct`: all facts right."""

    outcome: str
    correct: bool


class Scored(Outcome):
    """An outcome with a score from 0 to 1; it equals the plain outcome without the score."""

    score: float

    def __new__(cls, outcome: str, correct: bool, score: float) -> Scored:
        """The outcome, and beside it the score."""
        self = super().__new__(cls, outcome, correct)
        self.score = score
        return self


def judge_of(settings: Mapping[str, Any], name: str) -> Any:
    """The judge of that name in a job's settings, as a function of prompts and answers."""
    values = settings["judges"][name]
    setting = plugin_settings("judges", name, values)
    return partial(plugin_module("judges", values["method"]).judge, setting)
