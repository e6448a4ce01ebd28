from __future__ import annotations

import errno
import fcntl
import threading
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit import claim


def test_only_the_granted_submission_runs(tmp_path: Path) -> None:
    folder = claim.folder_of(tmp_path, "target")
    assert folder.parent == tmp_path / "claims"
    claim.grant(folder, "one")
    claim.grant(folder, "two")
    with pytest.raises(claim.ClaimLost, match="submission one was replaced by two"):
        with claim.hold([folder], "one", "start"):
            pass
    with claim.hold([folder], "two", "start"):
        pass
    claim.revoke(folder)
    with pytest.raises(claim.ClaimLost, match=r"replaced by none \(cancelled\)"):
        with claim.hold([folder], "two", "start"):
            pass


def test_a_later_start_replaces_an_earlier_one_and_waits_for_its_end(tmp_path: Path) -> None:
    folder = claim.folder_of(tmp_path, "target")
    claim.grant(folder, "one")
    order = []

    def later() -> None:
        with claim.hold([folder], "one", "second"):
            order.append("second works")

    with claim.hold([folder], "one", "first"):
        claim.check([folder], "one", "first")
        thread = threading.Thread(target=later)
        thread.start()
        while (folder / "start").read_text() != "second":
            time.sleep(0.01)
        with pytest.raises(claim.ClaimLost, match="a later start of this job has replaced first"):
            claim.check([folder], "one", "first")
        time.sleep(0.6)
        order.append("first ends")
    thread.join()
    assert order == ["first ends", "second works"]


def test_an_older_run_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LOCK_SECONDS", 0)
    folder = claim.folder_of(tmp_path, "target")
    claim.grant(folder, "one")
    with claim.hold([folder], "one", "first"):
        with pytest.raises(claim.ClaimOccupied, match=f"delete {folder}"):
            with claim.hold([folder], "one", "second"):
                pass


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_lock(file: int, mode: int) -> None:
        raise OSError(errno.ENOSYS, "no")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    folder = claim.folder_of(tmp_path, "target")
    claim.grant(folder, "one")
    with claim.hold([folder], "one", "first"):
        pass
    assert "no locks on this file system" in capsys.readouterr().out


def test_a_finished_job_leaves_nothing(tmp_path: Path) -> None:
    folder = claim.folder_of(tmp_path, "target")
    claim.grant(folder, "one")
    with claim.hold([folder], "one", "first"):
        pass
    claim.forget(folder)
    assert list((tmp_path / "claims").iterdir()) == []
