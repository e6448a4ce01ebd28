from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rebar.reporting.measures import statistics
from rebar.reporting.measures.statistics import Interval, holm, over_seeds, paired_difference, share


def wilson(p: float, n: float, t: float) -> tuple[float, float]:
    """The interval's definition: the p0 for which (p - p0)^2 = t^2 p0 (1 - p0) / n."""
    a, b, c = 1 + t**2 / n, -(2 * p + t**2 / n), p**2
    root = np.sqrt(b**2 - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_independent_answers_get_wilsons_interval() -> None:
    value, low, high = share([1] * 3 + [0] * 7, [1] * 10)
    assert value == 0.3
    assert (low, high) == pytest.approx(wilson(0.3, 10, 2.262157), abs=1e-6)


def test_equal_phrasings_count_once() -> None:
    # Four phrasings that all agree tell no more than one: close to 10 answers, far from 40.
    clustered = share([4] * 3 + [0] * 7, [4] * 10)
    assert clustered == pytest.approx(share([1] * 3 + [0] * 7, [1] * 10), abs=1e-12)


def test_design_effect_by_hand() -> None:
    # Hazards 2/4, 3/4, 1/4 and the added 4/4, 0/4: p = 1/2, sum (y - 2)^2 = 0+1+1+4+4 = 10,
    # effect 10 / (20 / 4) = 2, so that 12 answers tell as much as 6.
    value, low, high = share([2, 3, 1], [4, 4, 4])
    assert value == 0.5
    assert (low, high) == pytest.approx(wilson(0.5, 6, stats.t.ppf(0.975, 2)))


@pytest.mark.parametrize("hits", [0, 4])
def test_nothing_or_everything_still_has_a_width(hits: int) -> None:
    value, low, high = share([hits] * 20, [4] * 20)
    edge = 2.093024**2 / (20 + 2.093024**2)  # Wilson at 0 of 20 hazards
    expected = (0, 0, edge) if hits == 0 else (1, 1 - edge, 1)
    assert (value, low, high) == pytest.approx(expected, abs=1e-6)


def test_one_hazard_tells_nothing_about_others() -> None:
    assert share([3], [4]) == Interval(0.75, 0.0, 1.0)
    assert paired_difference([0.5]) == Interval(0.5, -1.0, 1.0)


def test_ends_hold_the_value_however_they_round() -> None:
    for count in range(2, 200):
        value, low, high = share([3] * count, [3] * count)
        assert low < value == high == 1


def test_share_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    for p, correlation in ((0.1, 0.3), (0.5, 0.8), (0.9, 0.05)):
        scale = 1 / correlation - 1
        hits = 0
        for _ in range(400):
            per_hazard = rng.beta(p * scale, (1 - p) * scale, 24)
            interval = share(rng.binomial(4, per_hazard), [4] * 24)
            hits += interval.low <= p <= interval.high
        assert hits >= 0.93 * 400


def test_paired_answers_get_agresti_and_mins_interval() -> None:
    # 20 pairs: 6 only the first, 1 only the second succeeds.
    value, low, high = paired_difference([1] * 6 + [-1] + [0] * 13)
    centre = 5 / 22
    half = 2.093024 * np.sqrt(((7 + 1) / 22 - centre**2) / 22)
    assert value == 0.25
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_equal_arms_still_have_a_width() -> None:
    value, low, high = paired_difference([0.0] * 20)
    assert value == 0
    assert high == -low == pytest.approx(2.093024 / 22, abs=1e-6)
    assert paired_difference([1.0] * 20).high == 1.0


def test_over_seeds_is_students_t() -> None:
    value, low, high = over_seeds([0.1, 0.2, 0.3, 0.4, 0.5]) or Interval(0, 0, 0)
    half = 2.776445 * np.std([0.1, 0.2, 0.3, 0.4, 0.5], ddof=1) / np.sqrt(5)
    assert (value, low, high) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-6)


def test_too_few_or_equal_seeds_have_no_interval_over_seeds() -> None:
    assert over_seeds([0.1, 0.2, 0.3, 0.4]) is None
    assert over_seeds([0.2] * 5) is None
    assert statistics.paired_p_value([0.1, 0.2, 0.3, 0.4]) is None


def test_p_value_of_the_paired_t_test() -> None:
    differences = [0.1, -0.05, 0.2, 0.15, 0.02]
    expected = stats.ttest_1samp(differences, 0).pvalue  # type: ignore[attr-defined]
    assert statistics.paired_p_value(differences) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
