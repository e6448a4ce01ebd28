"""Choices by name are uniform, repeatable and exact in number."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from rebar.data.sampling import fraction_of, is_evenly_spread, size_of_part


def test_fractions_are_uniform() -> None:
    values = [fraction_of(7, "keep", f"world-0-{i}") for i in range(20_000)]
    assert all(0 <= value < 1 for value in values)
    tenths = [sum(int(v * 10) == k for v in values) for k in range(10)]
    assert all(abs(count - 2000) < 4 * (2000 * 0.9) ** 0.5 for count in tenths)


def test_fractions_are_the_same_in_every_process() -> None:
    code = "from rebar.data.sampling import fraction_of; print(fraction_of(1, 'a'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "workflow"},
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{fraction_of(1, 'a')}\n"}
    assert fraction_of(1, "a") != fraction_of(2, "a")


@pytest.mark.parametrize(("total", "count"), [(10, 3), (7, 7), (100, 1), (5, 0), (6, 4)])
def test_spread_takes_exactly_so_many(total: int, count: int) -> None:
    taken = [i for i in range(total) if is_evenly_spread(i, total, count)]
    assert len(taken) == count
    gaps = {b - a for a, b in pairwise(taken)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_spread_takes_all_of_fewer() -> None:
    assert all(is_evenly_spread(i, 3, 8) for i in range(3))


def test_parts_add_up() -> None:
    assert [size_of_part(11, 4, i) for i in range(4)] == [3, 3, 3, 2]
    assert [size_of_part(2, 4, i) for i in range(4)] == [1, 1, 0, 0]
