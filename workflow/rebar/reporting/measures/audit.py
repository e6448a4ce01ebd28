"""How far a judge agrees with people and with other judges: `audit.csv`.

Cohen's kappa (1960) is the agreement beyond chance: 0 is the agreement that two raters reach by
their shares alone, 1 is full agreement. Its interval is a bootstrap over clusters (hazards; in
labelled files: prompts) and at least as wide as the agreement's clustered Wilson interval implies.
Answers that were sampled more densely weigh less, so that a sheet drawn evenly over outcomes still
represents all answers.

Legend: B answers, C clusters, K outcomes, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rebar.data.answers import NOT
from rebar.jobs.formats import csv_text, read_csv, six_decimals
from rebar.reporting.measures.statistics import CONFIDENCE, Interval, share

PEOPLE = "people"
OUTCOMES = ("complied", "refused", "other")
RESAMPLES = 2000
COLUMNS = (
    "judge against source question n agreement agreement_low agreement_high kappa kappa_low "
    "kappa_high judge_share against_share"
).split()


class Agreement(NamedTuple):
    """One judge beside people or another judge, on the answers of one source.

    `question` is `complied` or `refused` where people said yes or no, else `outcome`; the shares
    are how often each said yes (of `outcome`: complied). Kappa is nan where both never vary.
    """

    judge: str
    against: str
    source: str
    question: str
    n: int
    agreement: Interval
    kappa: Interval
    judge_share: float
    against_share: float

    @property
    def text(self) -> str:
        """`κ 0.82 0.71-0.90 with people`."""
        value, low, high = (f"{x:.2f}" if not math.isnan(x) else "?" for x in self.kappa)
        return f"κ {value} {low}-{high} with {self.against}"


class Said(NamedTuple):
    """The verdicts of two raters on the same answers, with clusters and weights."""

    judge: Sequence[str]
    against: Sequence[str]
    clusters: Sequence[str]
    weights: Sequence[float]


def question_of(labels: Iterable[str]) -> str:
    """The question that people were asked, found from the labels that they could give."""
    asked = {label.removeprefix(NOT) for label in labels if label.startswith(NOT)}
    return asked.pop() if asked else "outcome"


def agree(judge: str, against: str, source: str, question: str, said: Said) -> Agreement:
    """Agreement and kappa with their intervals."""
    counts_CKK = _counts(said, _names(question))
    total_KK = counts_CKK.sum(axis=0)
    hits_C = np.trace(counts_CKK, axis1=1, axis2=2)
    trials_C = counts_CKK.sum(axis=(1, 2))
    scale = len(said.judge) / trials_C.sum()
    agreement = share(scale * hits_C, scale * trials_C)
    return Agreement(
        *(judge, against, source, question, len(said.judge)),
        agreement=agreement,
        kappa=_kappa_interval(counts_CKK, agreement),
        judge_share=float(total_KK[0].sum() / total_KK.sum()),
        against_share=float(total_KK[:, 0].sum() / total_KK.sum()),
    )


def _names(question: str) -> tuple[str, ...]:
    """The answers to a question, yes first."""
    return OUTCOMES if question == "outcome" else (question, f"{NOT}{question}")


def _counts(said: Said, names: tuple[str, ...]) -> np.ndarray:
    """Weighted confusions of each cluster: the judge's outcome first."""
    place = {name: number for number, name in enumerate(names)}
    _, cluster_B = np.unique(np.asarray(said.clusters, object), return_inverse=True)
    counts_CKK = np.zeros((cluster_B.max() + 1, len(names), len(names)))
    first_B, second_B = (np.array([place[x] for x in r]) for r in (said.judge, said.against))
    np.add.at(counts_CKK, (cluster_B, first_B, second_B), np.asarray(said.weights, float))
    return counts_CKK


def kappa(counts_RKK: np.ndarray) -> np.ndarray:
    """Cohen's kappa of confusion matrices; nan where both raters always gave the same verdict."""
    observed_R = np.trace(counts_RKK, axis1=-2, axis2=-1) / counts_RKK.sum(axis=(-2, -1))
    chance_R = _chance(counts_RKK)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance_R < 1, (observed_R - chance_R) / (1 - chance_R), np.nan)


def _chance(counts_RKK: np.ndarray) -> np.ndarray:
    """The agreement of two independent raters with the same shares."""
    rows_RK, columns_RK = counts_RKK.sum(axis=-1), counts_RKK.sum(axis=-2)
    return (rows_RK * columns_RK).sum(axis=-1) / counts_RKK.sum(axis=(-2, -1)) ** 2


def _kappa_interval(counts_CKK: np.ndarray, agreement: Interval) -> Interval:
    """Percentiles over resampled clusters; unknown (-1 to 1) from a single cluster.

    At least as wide as Cohen's formula makes it from the agreement's interval: resampling a sample
    without disagreement would give an interval of zero width.
    """
    num_clusters = len(counts_CKK)
    value = float(kappa(counts_CKK.sum(axis=0)[None])[0])
    if num_clusters == 1 or math.isnan(value):
        return Interval(value, -1.0, 1.0)
    rng = np.random.default_rng(0)
    times_RC = rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), RESAMPLES)
    found_R = kappa(np.tensordot(times_RC.astype(float), counts_CKK, axes=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(found_R, [tail, 1 - tail])
    chance = float(_chance(counts_CKK.sum(axis=0)))
    ends = [(end - chance) / (1 - chance) for end in agreement[1:]]
    return Interval(value, min(float(low), value, ends[0]), max(float(high), value, ends[1]))


def audit_csv(found: Iterable[Agreement]) -> str:
    """`audit.csv`: one row an agreement; an undefined kappa is an empty field."""
    return csv_text(COLUMNS, map(_audit_row, found))


def _audit_row(row: Agreement) -> tuple[Any, ...]:
    numbers = (*row.agreement, *row.kappa, row.judge_share, row.against_share)
    return (*row[:5], *map(six_decimals, numbers))


def read_audit(path: Path) -> list[Agreement]:
    """Read what `audit_csv` wrote; ValueError names the command that makes a missing file."""
    if not path.exists():
        raise ValueError(
            f"{path} is missing; make it: snakemake --profile profiles/local --force -- {path}"
        )
    return [_read(row) for row in read_csv(path)]


def _read(row: dict[str, str]) -> Agreement:
    numbers = [float(row[name]) if row[name] else math.nan for name in COLUMNS[5:]]
    return Agreement(
        *(row["judge"], row["against"], row["source"], row["question"], int(row["n"])),
        agreement=Interval(*numbers[:3]),
        kappa=Interval(*numbers[3:6]),
        judge_share=numbers[6],
        against_share=numbers[7],
    )


def beside(found: Sequence[Agreement], judge: str, evaluation: str) -> Agreement | None:
    """What stands beside the numbers of an evaluation: the nearest audit of its judge.

    People on this evaluation's own answers, else people on most answers, else another judge on
    this evaluation's answers.
    """
    of_judge = [row for row in found if row.judge == judge]
    people = [row for row in of_judge if row.against == PEOPLE]
    own = [row for row in people if row.source == evaluation]
    others = [r for r in of_judge if r.against != PEOPLE and r.source == evaluation]
    for rows in (own, people, others):
        if rows:
            return max(rows, key=lambda row: row.n)
    return None
