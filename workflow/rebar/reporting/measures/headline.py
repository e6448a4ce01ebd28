"""The headline numbers as small files for `dvc metrics` and `dvc plots`, one row per model."""

from __future__ import annotations

import json
from typing import NamedTuple

from rebar.jobs.formats import csv_text, six_decimals
from rebar.reporting.measures.aggregate import Level, Results
from rebar.reporting.measures.comparison import rows, states, view


class HeadlineRow(NamedTuple):
    """An arm with decoder, the state of its model, and its shares; None: not measured."""

    arm: str
    state: str
    shares: dict[str, float | None]


def headline(results: Results) -> list[HeadlineRow]:
    """The numbers of the comparison table for each model, as means over the seeds."""
    entries = []
    for row in rows(results):
        for state in states(results):
            if shown := view(results, row, state):
                levels = {
                    "attack_success": shown.success,
                    "over_refusal": shown.over_refusal,
                    "capability": shown.capability,
                    "knowledge": shown.knowledge,
                }
                shares = {name: _share(level) for name, level in levels.items()}
                entries.append(HeadlineRow("/".join((*row.arm, row.decoder)), state, shares))
    return entries


def _share(level: Level | None) -> float | None:
    return None if level is None else round(level.interval.value, 6)


def metrics_text(entries: list[HeadlineRow]) -> str:
    """`metrics.json`: arm, state, metric."""
    content: dict[str, dict[str, dict[str, float]]] = {}
    for arm, state, shares in entries:
        measured = {name: share for name, share in shares.items() if share is not None}
        content.setdefault(arm, {})[state] = measured
    return json.dumps(content, indent=1) + "\n"


def headline_csv(entries: list[HeadlineRow]) -> str:
    """`headline.csv`: one row per model."""
    names = list(entries[0].shares) if entries else []
    rows = (
        (f"{arm} {state}", *map(six_decimals, shares.values())) for arm, state, shares in entries
    )
    return csv_text(["model", *names], rows)
