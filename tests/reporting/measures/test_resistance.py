"""Survival against published numbers, gains and selectivity against closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from rebar.grid import Arm
from rebar.reporting.measures.breaks import COMPLIANCE, LEARNED, Break
from rebar.reporting.measures.resistance import (
    log_rank,
    median_steps,
    resistance_csv,
    resistances,
    survival,
    twin_of,
)

RAW, SAFE = Arm("raw", "none", "sft"), Arm("safelm", "none", "sft")
CONFIG = SimpleNamespace(
    report=SimpleNamespace(control_recipe="raw"),
    searches={},
    attacks={
        "harmful": SimpleNamespace(is_benign=False),
        "benign": SimpleNamespace(is_benign=True),
    },
)
# Remission of leukaemia in weeks, 6-MP and placebo (Freireich et al. 1963, Blood 21:699; the
# textbooks' example): weeks, and whether the patient relapsed.
TREATED = [(6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (9, 0), (10, 1), (10, 0), (11, 0), (13, 1)]
TREATED += [(16, 1), (17, 0), (19, 0), (20, 0), (22, 1), (23, 1), (25, 0), (32, 0), (32, 0)]
TREATED += [(34, 0), (35, 0)]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def one(steps: int, broken: bool = True, *, seed: int = 0, arm: Arm = RAW, **names) -> Break:
    named = {"attack": "harmful", "by": COMPLIANCE} | names
    return Break(arm, named["attack"], named["by"], seed, broken, steps, 10 * steps, 1.0, 0.1)


def many(values) -> list[Break]:
    return [one(steps, bool(broken), seed=n) for n, (steps, broken) in enumerate(values)]


def test_survival_is_the_published_estimate() -> None:
    steps, shares = survival(many(TREATED))
    found = dict(zip(steps.tolist(), shares.tolist(), strict=True))
    published = {0: 1.0, 6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {step: round(found[step], 3) for step in published} == published


def test_medians_and_the_log_rank_test_are_the_published_ones() -> None:
    treated, placebo = many(TREATED), many((week, 1) for week in PLACEBO)
    assert (median_steps(treated), median_steps(placebo)) == (23, 8)
    p = log_rank(treated, placebo)
    assert p is not None
    # Chi-squared 16.79 with one degree of freedom in the textbooks: p = 4.17e-5.
    assert p == pytest.approx(math.erfc(math.sqrt(16.79 / 2)), rel=0.01)


def test_nothing_is_tested_where_nothing_can_be() -> None:
    assert log_rank(many([(3, 1)]), many([(3, 1), (4, 1)])) is None
    assert log_rank(many([(3, 0), (4, 0)]), many([(3, 0), (4, 0)])) is None
    assert median_steps(many([(5, 0), (5, 0)])) == math.inf


def test_the_twin_lacks_the_safeguard_or_is_the_control() -> None:
    guarded = Arm("safelm", "sam", "sft")
    assert twin_of(CONFIG, guarded) == SAFE
    assert twin_of(CONFIG, SAFE) == RAW
    assert twin_of(CONFIG, RAW) is None


def test_gains_and_selectivity_in_closed_form() -> None:
    breaks = []
    for seed in range(5):
        breaks += [one(1 + seed % 2, seed=seed), one(20 + 20 * (seed % 2), seed=seed, arm=SAFE)]
        for arm, steps in ((RAW, 4), (SAFE, 8)):
            breaks.append(one(steps, seed=seed, arm=arm, attack="benign", by=LEARNED))
            breaks.append(one(1, seed=seed, arm=arm, attack="benign"))  # by compliance: not told
    own, safe, *benign = sorted(
        resistances(CONFIG, breaks), key=lambda r: (r.attack != "harmful", r.arm == SAFE)
    )
    assert len(benign) == 2 and {r.by for r in benign} == {LEARNED}
    assert own.twin is None and own.gain is None and own.p_value is None
    assert safe.gain == pytest.approx(math.log10(20))
    assert safe.selectivity == pytest.approx(math.log10(20) - math.log10(2))
    assert safe.bound == "" and safe.p_value is not None and safe.p_value < 0.01
    assert safe.interval is None  # all seeds agree exactly: no spread was seen
    line = resistance_csv([safe]).splitlines()[1]
    assert line.startswith("safelm,none,sft,harmful,compliance,5,5,20,raw/none/sft,1.301030,,,,")


@pytest.mark.parametrize(
    ("own", "twin", "bound"), [(1, 1, ""), (0, 1, ">="), (1, 0, "<="), (0, 0, "?")]
)
def test_a_gain_of_models_that_were_never_broken_is_a_bound(
    own: int, twin: int, bound: str
) -> None:
    breaks = [one(10, bool(twin)), one(30, bool(own), arm=SAFE)]
    (safe,) = [r for r in resistances(CONFIG, breaks) if r.arm == SAFE]
    assert safe.bound == bound and safe.gain == pytest.approx(math.log10(3))


def test_a_model_that_is_broken_at_once_counts_one_step() -> None:
    breaks = [one(0), one(10, arm=SAFE)]
    (safe,) = [r for r in resistances(CONFIG, breaks) if r.arm == SAFE]
    assert safe.gain == pytest.approx(1.0)
