"""How numbers, CSV files and tables are written: the same everywhere, with one function each."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar.jobs.manifest import write_text

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 100_000  # characters: no line of a Markdown table is folded

# ------------------------------------------------------------------------------- numbers


def six_decimals(value: float | None) -> str:
    """A number of a CSV file; empty for None and nan. Equal runs then are equal files."""
    return "" if value is None or math.isnan(value) else f"{value:.6f}"


def six_digits(value: float | None) -> str:
    """A number of any size, as its six leading digits; empty for None."""
    return "" if value is None else f"{value:.6g}"


def two_digits(value: float) -> str:
    """An estimate: two leading digits, from 100 on three."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2g}"


def percent(share: float) -> str:
    """A share as a whole per cent."""
    return f"{100 * share:.0f}"


def points(difference: float) -> str:
    """A difference of shares in whole percentage points, with its sign."""
    return f"{100 * difference:+.0f}"


def flag(value: bool | None) -> str:
    """`true`, `false`, or empty for unknown."""
    return "" if value is None else str(value).lower()


# ------------------------------------------------------------------------------------ CSV


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV file: fields with commas are quoted, None is an empty field."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; it appears only when complete."""
    write_text(path, csv_text(header, rows))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as texts by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --------------------------------------------------------------------------------- tables


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that Markdown renders and a terminal shows with aligned columns."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    for name in header:
        table.add_column(name, no_wrap=True)
    return _drawn(table, rows, WIDE)


def terminal_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], width: int = 100, gap: int = 2
) -> str:
    """A table of at most `width` characters: first column to the left, others to the right.

    It has no colours, so that it reads the same on a terminal, in a file and in a pipe. `gap` is
    the number of blanks between two columns.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    return _drawn(table, rows, width)


def _drawn(table: Table, rows: Iterable[Sequence[str]], width: int) -> str:
    from rich.console import Console

    for row in rows:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table, highlight=False)
    lines = (line.rstrip() for line in capture.get().splitlines())
    return "\n".join(line for line in lines if line)
