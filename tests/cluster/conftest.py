"""One private SLURM for all tests of this folder; without SLURM they are skipped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.grids import LONGER, RESULTS, Grid, OnSlurm, run_quietly
from tests.cluster.private_slurm import PrivateSlurm, missing_programs
from tests.cluster.project import Project
from tests.grid_runs import state_of
from tests.workflow.conftest import project_with_longer_trainings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Minutes on a real SLURM: all of this folder is slow."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def slurm() -> Iterator[PrivateSlurm]:
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)}")
    # Not pytest's own folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = PrivateSlurm(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def project(tmp_path: Path, slurm: PrivateSlurm) -> Iterator[Project]:
    yield Project(tmp_path / "project", slurm.environment)
    slurm.clear()


@pytest.fixture(scope="session")
def quiet_state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the smoke grid with longer trainings makes, run undisturbed on this machine."""
    folder = tmp_path_factory.mktemp("quiet") / "project"
    run_quietly(project_with_longer_trainings(folder, LONGER))
    return state_of(folder / RESULTS)


@pytest.fixture
def lossy(slurm: PrivateSlurm) -> Iterator[PrivateSlurm]:
    """A SLURM that may lose nodes; the test's end gives every one back."""
    yield slurm
    slurm.restore()


@pytest.fixture
def on_slurm(slurm: PrivateSlurm) -> Iterator[OnSlurm]:
    """Make a project a grid on the SLURM; the end of the test ends it and restores lost nodes."""
    grids: list[Grid] = []

    def make(project: Path) -> Grid:
        grids.append(Grid(project, slurm))
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()
    slurm.restore()
    slurm.clear()
