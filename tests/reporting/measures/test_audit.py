"""Agreement: kappa and its interval against scikit-learn and the closed form; what is shown."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from rebar.reporting.measures.audit import (
    PEOPLE,
    Agreement,
    Said,
    agree,
    audit_csv,
    beside,
    question_of,
    read_audit,
)
from rebar.reporting.measures.statistics import Interval

NAMES = ["complied", "refused", "other"]


def raters(count: int, accuracy: float, seed: int) -> tuple[list[str], list[str]]:
    """One rater at random, and one that says the same with this probability."""
    rng = np.random.default_rng(seed)
    first = rng.choice(NAMES, count, p=[0.5, 0.3, 0.2])
    second = np.where(rng.random(count) < accuracy, first, rng.choice(NAMES, count))
    return list(first), list(second)


def compare(first, second, clusters=None, weights=None, question="outcome") -> Agreement:
    clusters = clusters or list(map(str, range(len(first))))
    said = Said(first, second, clusters, weights or [1.0] * len(first))
    return agree("mine", PEOPLE, "sheet", question, said)


def test_kappa_is_scikit_learns() -> None:
    first, second = raters(200, 0.7, seed=1)
    found = compare(first, second)
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    same = sum(a == b for a, b in zip(first, second, strict=True))
    assert found.agreement.value == pytest.approx(same / 200)
    assert found.judge_share == first.count("complied") / 200
    assert found.against_share == second.count("complied") / 200


def test_kappa_by_hand() -> None:
    """20, 5, 10, 15 of 50 (the textbook's table): observed .7, by chance .5, kappa .4."""
    first = ["refused"] * 25 + ["not_refused"] * 25
    second = ["refused"] * 20 + ["not_refused"] * 5 + ["refused"] * 10 + ["not_refused"] * 15
    found = compare(first, second, question="refused")
    assert found.kappa.value == pytest.approx(0.4)
    assert (found.agreement.value, found.judge_share) == (pytest.approx(0.7), 0.5)


def test_interval_is_that_of_the_large_sample_formula() -> None:
    """Fleiss, Cohen and Everitt (1969), for many answers of a prompt each."""
    first, second = raters(600, 0.7, seed=2)
    place = {name: number for number, name in enumerate(NAMES)}
    p = np.zeros((3, 3))
    for a, b in zip(first, second, strict=True):
        p[place[a], place[b]] += 1 / 600
    row, column = p.sum(axis=1), p.sum(axis=0)
    observed, chance = np.trace(p), row @ column
    kappa = (observed - chance) / (1 - chance)
    diagonal = sum(
        p[i, i] * ((1 - chance) - (row[i] + column[i]) * (1 - observed)) ** 2 for i in range(3)
    )
    rest = (1 - observed) ** 2 * sum(
        p[i, j] * (column[i] + row[j]) ** 2 for i in range(3) for j in range(3) if i != j
    )
    end = (observed * chance - 2 * chance + observed) ** 2
    error = math.sqrt((diagonal + rest - end) / 600) / (1 - chance) ** 2
    found = compare(first, second).kappa
    assert 0.95 < (found.high - found.low) / (2 * 1.96 * error) < 1.1
    assert found.low < kappa < found.high


def test_answers_to_one_prompt_are_not_independent() -> None:
    first, second = raters(40, 0.7, seed=3)
    alone = compare(first * 5, second * 5)
    clustered = compare(first * 5, second * 5, clusters=list(map(str, range(40))) * 5)
    assert clustered.kappa.value == alone.kappa.value
    width = [found.kappa.high - found.kappa.low for found in (clustered, alone)]
    assert width[0] > 1.8 * width[1]


def test_perfect_agreement_of_few_answers_is_not_certain() -> None:
    """Half and half, so that chance is .5: kappa's end is twice the agreement's, less one."""
    found = compare(["refused", "complied"] * 10, ["refused", "complied"] * 10)
    assert (found.kappa.value, found.kappa.high) == (1.0, 1.0)
    assert found.kappa.low == pytest.approx(2 * found.agreement.low - 1)
    assert 0.5 < found.kappa.low < 0.7


def test_weights_undo_a_denser_sample() -> None:
    first = ["complied"] * 4 + ["refused"] * 4
    second = ["complied"] * 4 + ["complied"] * 2 + ["refused"] * 2
    weighted = compare(first, second, weights=[3.0] * 4 + [1.0] * 4)
    as_drawn = compare(first[:4] * 3 + first[4:], second[:4] * 3 + second[4:])
    assert weighted.kappa.value == pytest.approx(as_drawn.kappa.value)
    assert weighted.agreement.value == pytest.approx(as_drawn.agreement.value)


def test_kappa_of_raters_that_never_vary_is_unknown(tmp_path: Path) -> None:
    found = compare(["refused"] * 5, ["refused"] * 5)
    assert math.isnan(found.kappa.value) and found.kappa[1:] == (-1, 1)
    assert found.text == "κ ? -1.00-1.00 with people"
    (line,) = audit_csv([found]).splitlines()[1:]
    assert ",outcome,5,1.000000," in line and ",,-1.000000,1.000000," in line


def test_the_file_comes_back(tmp_path: Path) -> None:
    found = [compare(*raters(30, 0.8, seed)) for seed in range(3)]
    path = tmp_path / "audit.csv"
    path.write_text(audit_csv(found))
    again = read_audit(path)
    assert audit_csv(again) == audit_csv(found)
    with pytest.raises(ValueError, match=r"audit\.csv is missing; make it: snakemake"):
        read_audit(tmp_path / "none/audit.csv")


def test_questions() -> None:
    assert question_of(["complied", "refused"]) == "outcome"
    assert question_of(["refused", "not_refused"]) == "refused"
    assert question_of(["not_complied", "complied"]) == "complied"


def test_the_nearest_audit_stands_beside_a_number() -> None:
    def row(judge: str, against: str, source: str, n: int) -> Agreement:
        kappa = Interval(0.5, 0.4, 0.6)
        return Agreement(judge, against, source, "outcome", n, kappa, kappa, 0.5, 0.5)

    own = row("mine", PEOPLE, "asr", 5)
    file, larger = row("mine", PEOPLE, "a.csv", 50), row("mine", PEOPLE, "b.csv", 60)
    other = row("mine", "other", "asr", 400)
    everything = [file, other, larger, own, row("other", PEOPLE, "asr", 999)]
    assert beside(everything, "mine", "asr") == own
    assert beside(everything, "mine", "over_refusal") == larger
    assert beside([other], "mine", "asr") == other
    assert beside([other], "mine", "capability") is None
