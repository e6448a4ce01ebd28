"""Of two trainings that compile at the same time, one waits for the other's kernels."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import pytest

from rebar.training import distributed
from rebar.training.compilation import CACHE_VARIABLE, compile_alone


def is_locked(folder: Path) -> bool:
    """Whether somebody compiles into this cache."""
    with (folder / f"compiling-{socket.gethostname()}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_cache_is_locked_during_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "results/.compiled"
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    with compile_alone():
        assert is_locked(cache)
    assert not is_locked(cache)


def test_an_error_releases_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="not finite"), compile_alone():
        raise ValueError("the loss is not finite")
    assert not is_locked(tmp_path)


def test_several_processes_of_one_training_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(distributed, "num_processes", lambda: 2)
    with compile_alone():
        assert os.listdir(tmp_path) == []
