"""The report's numbers, checked on the confusion matrices that SafeLM published."""

from __future__ import annotations

import numpy as np
import pytest

from rebar.corpus.classifier_report import confusion_matrix, source_only_scores, summarize
from rebar.corpus.labels import LabelledText

# Maini et al. 2025, arXiv 2504.16980v1, figure 5 and table 4: rows are true levels.
GTE_BASE = """2357 103 56 12 9 11 / 59 32 39 13 4 4 / 30 29 49 33 3 7 / 5 9 23 24 9 10
/ 3 1 2 7 8 12 / 5 0 0 3 2 28"""
QWEN = """1927 282 319 11 9 0 / 16 47 76 9 1 2 / 20 28 80 18 5 0 / 7 15 35 8 13 2
/ 0 2 6 12 11 2 / 5 0 2 4 14 13"""


@pytest.mark.parametrize(
    ("matrix", "f1", "recall_at_1", "recall_at_3", "false_positives"),
    [(GTE_BASE, 0.4114, 0.7748, 0.6821, 191 / 2548), (QWEN, 0.3492, 0.8940, 0.5232, 621 / 2548)],
)
def test_published_matrices_give_the_published_numbers(
    matrix: str, f1: float, recall_at_1: float, recall_at_3: float, false_positives: float
) -> None:
    report = summarize(np.array([row.split() for row in matrix.split("/")], dtype=np.int64))
    assert report["macro_f1"] == pytest.approx(f1, abs=6e-5)
    assert report["recall_at_1"] == pytest.approx(recall_at_1, abs=6e-5)
    assert report["recall_at_3"] == pytest.approx(recall_at_3, abs=6e-5)
    assert report["false_positive_rate"] == pytest.approx(false_positives, abs=6e-5)
    assert report["n"] == 3001


def test_rows_are_true_levels() -> None:
    matrix = confusion_matrix([0, 0, 5], [0, 3, 4])
    assert matrix[0].tolist() == [1, 0, 0, 1, 0, 0]
    assert matrix[5].tolist() == [0, 0, 0, 0, 1, 0]


def test_levels_that_never_occur_have_no_f1() -> None:
    report = summarize(confusion_matrix([1, 1, 1, 2], [1, 1, 2, 2]))
    assert report["f1"] == {"1": 0.8, "2": 0.6667}
    assert report["macro_f1"] == 0.7333
    assert report["recall_at_3"] is None
    assert report["false_positive_rate"] is None


def test_the_source_only_baseline_weights_levels() -> None:
    train = [
        *[LabelledText("", 0, "wiki")] * 90,
        *[LabelledText("", 0, "forum")] * 10,
        *[LabelledText("", 5, "forum")] * 4,
    ]
    heldout = [
        LabelledText("", 5, "wiki"),
        LabelledText("", 0, "forum"),
        LabelledText("", 0, "new"),
    ]
    assert source_only_scores(train, heldout) == [0, 5, 0]
