"""Intervals for shares of answers and for their differences.

Phrasings of one hazard are not independent, so the hazard is the unit: a share gets Wilson's
interval at its effective sample size (Dean and Pagano 2015), a difference the pseudo-observations
of Agresti and Min (2005), both with hazards as clusters and Student's t. Neither has zero width
at 0 of n, n of n or at equal arms. Over seeds, from five on, the interval is Student's t.

All inputs are one number per cluster: successes and trials, or a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
Numbers = Sequence[float] | np.ndarray
MIN_SEEDS = 5  # with fewer, the spread over seeds gives no useful interval


class Interval(NamedTuple):
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@cache
def student_t(degrees: int) -> float:
    """Quantile of Student's t for a two-sided interval; cached, because SciPy is slow."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


def share(successes: Numbers, trials: Numbers) -> Interval:
    """A share with its clustered Wilson interval; one entry per cluster.

    The design effect is the factor by which n clustered answers are worth less than n independent
    ones. Its estimate includes one cluster of successes and one of failures, both of mean size, so
    that it is defined at 0 of n: it then is the cluster size.
    """
    y_C, n_C = np.asarray(successes, float), np.asarray(trials, float)
    assert len(y_C) and (n_C > 0).all() and (y_C <= n_C + 1e-9).all()
    value = float(y_C.sum() / n_C.sum())
    if len(y_C) == 1:
        return Interval(value, 0.0, 1.0)  # one cluster says nothing about others
    size = n_C.sum() / _design_effect(y_C, n_C)
    t = student_t(len(y_C) - 1)
    centre = (value + t**2 / (2 * size)) / (1 + t**2 / size)
    half = t * np.sqrt(value * (1 - value) / size + t**2 / (4 * size**2)) / (1 + t**2 / size)
    # At 0 and 1 one end is the value itself; rounding must not put it on the wrong side.
    low, high = min(value, float(centre - half)), max(value, float(centre + half))
    return Interval(value, max(0.0, low), min(1.0, high))


def _design_effect(y_C: np.ndarray, n_C: np.ndarray) -> float:
    """Variance of the clustered share over that of as many independent answers, at least 1."""
    n_K = np.append(n_C, [n_C.mean(), n_C.mean()])
    y_K = np.append(y_C, [n_C.mean(), 0.0])
    p = y_K.sum() / n_K.sum()
    return max(1.0, float(((y_K - p * n_K) ** 2).sum() / (n_K.sum() * p * (1 - p))))


def paired_difference(differences: Numbers) -> Interval:
    """Mean of one difference per cluster, each in [-1, 1], with its 95 % interval.

    Two clusters join the interval's estimate, spread evenly over the four outcomes of a pair of
    yes-no answers: half a +1, half a -1, one 0. With one answer a cluster this is Agresti and Min.
    """
    d_C = np.asarray(differences, float)
    assert len(d_C)
    if len(d_C) == 1:
        return Interval(float(d_C[0]), -1.0, 1.0)
    count = len(d_C) + 2
    mean = d_C.sum() / count
    variance = ((d_C**2).sum() + 1) / count - mean**2
    half = student_t(len(d_C) - 1) * np.sqrt(variance / count)
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return Interval(float(d_C.mean()), float(low), float(high))


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Student's t interval of one value per seed.

    None under five seeds, and where all seeds agree exactly, because the spread is then unknown.
    The caller uses the interval within seeds instead and says so.
    """
    if len(values) < MIN_SEEDS or np.ptp(values) == 0:
        return None
    mean, error = float(np.mean(values)), float(stats.sem(values))
    half = student_t(len(values) - 1) * error
    return Interval(mean, mean - half, mean + half)


def paired_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of a paired t-test over seeds; None where `over_seeds` is None."""
    if over_seeds(differences) is None:
        return None
    t = float(np.mean(differences)) / float(stats.sem(differences))
    return float(2 * stats.t.sf(abs(t), len(differences) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of a family of p-values, in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
