"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from rebar.config.file import Config, load_config

# As in a job's process: parallelism is processes. Torch reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent
# Tests run in parallel processes, a file in one of them, so that what its tests share is made once.
# The longest go first: one of them that began last would run alone at the end.
LONGEST_FIRST = (
    "tests/cluster/test_random_disturbances.py",
    "tests/cluster",
    "tests/docs/test_demo.py",
    "tests/workflow/test_dvc.py",
    "tests/workflow/test_kills.py",
    "tests/workflow/test_shipped_configs.py",
    "tests/workflow",
    "tests/stages",
    "tests/docs",
)
ONE_CLUSTER = "tests/cluster"  # the tests of this folder share one private SLURM
INDEPENDENT = ("tests/workflow/test_shipped_configs.py",)  # tests that share nothing in their file


class GroupScheduling(LoadScopeScheduling):
    """Gives all tests of a group to one process. (xdist's own marks do nothing in pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Choose the scheduler of parallel runs."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first."""
    items.sort(key=lambda item: _place(item.nodeid))


def _group(node: str) -> str:
    if node.startswith(ONE_CLUSTER):
        return ONE_CLUSTER
    return node if node.startswith(INDEPENDENT) else node.partition("::")[0]


def _place(node: str) -> int:
    return next((i for i, long in enumerate(LONGEST_FIRST) if node.startswith(long)), 99)


@pytest.fixture
def smoke() -> Config:
    return load_config(ROOT / "config/smoke.yaml")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables, which take seconds to make: once, to be copied."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def own_store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own, which MLFLOW_TRACKING_URI names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))
