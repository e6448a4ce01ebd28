"""The lock of a killed run goes, that of a live one stays."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import psutil
import pytest

from rebar.driver import lock


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("x")
    return tmp_path / ".snakemake"


def owner(folder: Path, **note: object) -> None:
    me = psutil.Process()
    full = {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()} | note
    (folder / "owner.json").write_text(json.dumps(full))


@pytest.mark.parametrize("note", [{"pid": 2**22 - 1}, {"started": 1.0}, None])
def test_a_dead_owners_lock_goes(
    folder: Path, note: dict | None, capsys: pytest.CaptureFixture
) -> None:
    if note is not None:
        owner(folder, **note)
    lock.remove_dead_lock()
    assert not list((folder / "locks").iterdir())
    assert "Removed the lock of a Snakemake run that was killed." in capsys.readouterr().err
    assert json.loads((folder / "owner.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("note", [{}, {"host": "another", "pid": 2**22 - 1}])
def test_a_live_owners_lock_stays(folder: Path, note: dict) -> None:
    owner(folder, **note)
    before = (folder / "owner.json").read_text()
    lock.remove_dead_lock()
    assert len(list((folder / "locks").iterdir())) == 1
    assert (folder / "owner.json").read_text() == before


def test_a_running_driver_claims_over_a_dry_run(folder: Path) -> None:
    owner(folder, host="another")
    lock.note_owner(force=True)
    assert json.loads((folder / "owner.json").read_text())["host"] == socket.gethostname()
