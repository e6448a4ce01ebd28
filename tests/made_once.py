"""What several test processes share: made by the first that needs it, read by all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` fills, once for all processes of a test run; others wait for it.

    Tests only read the folder: one that changes it works on a copy.
    """
    folder = _folder_of_the_run(factory) / name
    finished = folder.with_suffix(".finished")
    with FileLock(folder.with_suffix(".lock")):
        if not finished.exists():
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder


def _folder_of_the_run(factory: pytest.TempPathFactory) -> Path:
    """pytest-xdist gives each process a folder of its own below the one of the run."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
