from __future__ import annotations

from pathlib import Path

from snakemake_executor_plugin_submitit.history import PREEMPTED, START, TIMEOUT, History


def test_a_start_without_a_word_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "history"
    for event in (START, TIMEOUT, START, PREEMPTED, START, START, START):
        History(path).note(event)
    history = History(path)
    assert (history.starts, history.timeouts, history.losses) == (5, 1, 2)


def test_a_torn_line_swallows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history"
    History(path).note(START)
    path.write_text(path.read_text() + '{"event": "time')
    History(path).note(START)
    assert History(path).events == [START, START]
