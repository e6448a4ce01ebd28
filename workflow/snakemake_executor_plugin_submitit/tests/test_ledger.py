from __future__ import annotations

from pathlib import Path

from snakemake_executor_plugin_submitit.ledger import Ledger, LedgerEntry

ONE = LedgerEntry("run/1", 0, False, {"a": "1"})
TWO = LedgerEntry("run/2", 0, True, {"b": "2"})
THREE = LedgerEntry("run/2", 1, True, {"c": "3"})


def test_the_next_driver_reads_what_has_no_end(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "folder")
    ledger.add([ONE])
    ledger.add([TWO, THREE])
    ledger.close(TWO)
    ledger.close(TWO)
    assert ledger.entries() == [ONE, THREE]
    assert Ledger(tmp_path / "folder").entries() == [ONE, THREE]


def test_a_half_written_line_does_not_count(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add([ONE, TWO])
    path = tmp_path / "ledger.jsonl"
    text = path.read_text()
    path.write_text(text[:-5])
    assert Ledger(tmp_path).entries() == [ONE]


def test_it_grows_with_one_run_only(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for _ in range(10):
        ledger.add([ONE])
        ledger.close(ONE)
    Ledger(tmp_path)
    assert (tmp_path / "ledger.jsonl").read_text() == ""
