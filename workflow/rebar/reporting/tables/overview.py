"""The main table at a glance: `python -m rebar where`, which `make demo` ends with.

Arms in rows, states of their models in columns, attack success in the cells. It fits 80 columns
and, with the five lines that follow it, a terminal of 24 lines; `table.md` holds everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rebar.config.file import Config
from rebar.jobs.formats import percent, terminal_table
from rebar.reporting.measures.aggregate import Results, read_table
from rebar.reporting.measures.comparison import (
    Row,
    rows,
    seeds_word,
    short_label,
    state_label,
    states,
    view,
)

MOST_ROWS = 12
GAP = 1  # blanks between columns
LONGEST_WORD = 7  # letters of a header's word where columns are narrow


def overview_text(config: Config, table: Path, width: int) -> str:
    """Attack success of every arm and state that fit, from a finished `table.csv`."""
    results = read_table(table, config)
    shown = rows(results)[:MOST_ROWS]
    labels = [short_label(results, row).replace("+", " +") for row in shown]
    columns = states(results)
    body = [
        [label, *_cells(results, row, columns)] for label, row in zip(labels, shown, strict=True)
    ]
    header = ["arm", *_headers(columns)]
    if _width(header, body) > width:
        header = ["arm", *_headers(columns, LONGEST_WORD)]
    count = len(header)
    while count > 2 and _width(header[:count], [line[:count] for line in body]) > width:
        count -= 1
    lines = terminal_table(header[:count], [line[:count] for line in body], width, GAP)
    left_out = _left_out(len(rows(results)) - len(shown), columns[count - 1 :])
    return "\n".join([_title(results), lines, *left_out])


def _title(results: Results) -> str:
    config = results.config
    seeds = seeds_word(len(config.seeds))
    split = config.report.headline_split
    return f"{config.name}: attack success in %, split {split}, {seeds}; † collapsed"


def _cells(results: Results, row: Row, columns: Sequence[str]) -> list[str]:
    """Attack success of one row; empty where nothing was measured, `?` where it is withheld."""
    texts = []
    for state in columns:
        found = view(results, row, state)
        if found is None:
            texts.append("")
        elif found.success is None:
            texts.append("?")
        else:
            texts.append(percent(found.success.interval.value) + "†" * bool(found.num_collapsed))
    return texts


def _headers(columns: Sequence[str], longest: int = 100) -> list[str]:
    """Two lines: a word that the columns share, once above the first of them, then the rest.

    Words of more than `longest` letters are abbreviated.
    """
    labels = [state_label(state).partition(" ")[::2] for state in columns]
    headers, before = [], ""
    for first, rest in labels:
        above = "" if first == before and rest else first
        below = "\n".join(_abbreviated(word, longest) for word in rest.split())
        headers.append(f"{_abbreviated(above, longest)}\n{below}" if below else above)
        before = first
    return headers


def _abbreviated(word: str, longest: int) -> str:
    return word if len(word) <= longest else f"{word[: longest - 2]}."


def _width(header: Sequence[str], body: Sequence[Sequence[str]]) -> int:
    """Characters that the table needs at least: labels of arms may be folded between words."""
    columns = list(zip(header, *body, strict=True))
    needed = [
        max(len(word) for text in column for word in text.split() or [""]) for column in columns
    ]
    return sum(needed) + GAP * (len(needed) - 1)


def _left_out(num_rows: int, columns: Sequence[str]) -> list[str]:
    """Says what did not fit."""
    parts = [f"{num_rows} more arms"] * (num_rows > 0)
    parts += [f"{len(columns)} more states ({', '.join(map(state_label, columns))})"] * bool(
        columns
    )
    return [f"not shown: {'; '.join(parts)}"] if parts else []
