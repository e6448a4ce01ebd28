"""Numbers, CSV files and tables are written by one function each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rebar.jobs import formats


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (formats.six_decimals, 1 / 3, "0.333333"),
        (formats.six_decimals, None, ""),
        (formats.six_decimals, math.nan, ""),
        (formats.six_digits, 123456789.0, "1.23457e+08"),
        (formats.six_digits, None, ""),
        (formats.two_digits, 0.0123, "0.012"),
        (formats.two_digits, 123456.0, "123,000"),
        (formats.percent, 0.446, "45"),
        (formats.points, 0.31, "+31"),
        (formats.points, -0.07, "-7"),
        (formats.flag, True, "true"),
        (formats.flag, None, ""),
    ],
)
def test_numbers(write, value: float | None, text: str) -> None:
    assert write(value) == text


def test_a_csv_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    formats.write_csv(path, ["name", "value"], [("steps, tuned", 1.5), ("plain", None)])
    assert path.read_text() == 'name,value\n"steps, tuned",1.5\nplain,\n'
    assert formats.read_csv(path) == [
        {"name": "steps, tuned", "value": "1.5"},
        {"name": "plain", "value": ""},
    ]


def test_a_markdown_table_keeps_every_line_whole() -> None:
    long = "x" * 500
    table = formats.markdown_table(["a", "measure"], [[long, "[red]"], ["", "κ"]])
    first, rule, *lines = table.splitlines()
    assert first == f"| a{' ' * 499} | measure |" and set(rule) == {"|", "-"}
    assert lines == [f"| {long} | [red]   |", f"| {' ' * 500} | κ       |"]


def test_a_terminal_table_has_its_numbers_to_the_right_and_no_colours() -> None:
    table = formats.terminal_table(["arm", "base", "benign\nmatched"], [["raw", "84†", "5"]])
    assert table == "            benign\narm  base  matched\nraw   84†        5"
