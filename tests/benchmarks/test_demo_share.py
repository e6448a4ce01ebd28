"""The share of the demo's time without computing, on numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.demo_share import noncompute_share, share_row, uncovered_seconds


def test_uncovered_time_is_what_no_job_covers() -> None:
    assert uncovered_seconds([(0, 4), (2, 3), (5, 6), (5.5, 9), (11, 12)]) == 1 + 2
    assert uncovered_seconds([]) == 0


def test_the_share_counts_starts_compilation_and_gaps(tmp_path: Path) -> None:
    jobs = [
        {"finished": 110.0, "seconds": 10.0, "startup_seconds": 1.0, "first_step_seconds": 2.0},
        {"finished": 130.0, "seconds": 18.0, "startup_seconds": 3.0},
    ]
    assert noncompute_share(jobs) == pytest.approx((1 + 2 + 3 + 2) / (10 + 18 + 2))
    for number, job in enumerate(jobs):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "costs.json").write_text(json.dumps(job))
    assert share_row(tmp_path)["ours"] == 0.267
    with pytest.raises(ValueError, match="run `make demo` first"):
        share_row(tmp_path / "absent")
