"""Metrics over steps and progress lines."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rebar.jobs.recorder import Recorder


def test_metrics_are_lines_and_truncation_forgets_later_steps(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "pretrain 1/raw")
    for step in range(4):
        recorder.log(step, loss=step / 2)
    with recorder.path.open("a") as file:
        file.write('{"step": 9, "lo')  # killed while writing
    recorder.truncate(2)
    lines = [json.loads(line) for line in recorder.path.read_text().splitlines()]
    assert lines == [{"step": s, "loss": s / 2} for s in (0, 1, 2)]


def test_progress_has_rate_and_eta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 101.0, 110.0, 120.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    recorder = Recorder(tmp_path, "pretrain 1/raw", stream)
    for done in (0, 10, 50, 100):
        recorder.progress(done, 100, "steps")
    assert stream.getvalue().splitlines() == [
        "pretrain 1/raw: 0/100 steps, 0.0 steps/s, ETA unknown",
        "pretrain 1/raw: 50/100 steps, 5.0 steps/s, ETA 10 s",
        "pretrain 1/raw: 100/100 steps, 5.0 steps/s, ETA 0 s",
    ]


def test_what_is_copied_stays_for_a_run_that_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    recorder = Recorder(tmp_path / "checkpoints", "pretrain")
    recorder.log(3, loss=1.5)
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        recorder.truncate(3)
        recorder.copy_to(tmp_path / name)
    first, again = ((tmp_path / n / "metrics.jsonl").read_bytes() for n in ("first", "again"))
    assert first == again != b""
