"""Rebar's smoke grid by `snakemake --profile slurm` on a real SLURM: the bits of a local run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.grids import RESULTS, Grid
from tests.cluster.private_slurm import PrivateSlurm
from tests.workflow.conftest import project_with_longer_trainings, said, snakemake

pytestmark = pytest.mark.timeout(1500)
LONGER = {
    "steps: 30\n": "steps: 6000\n",
    "checkpoint_every_steps: 10": "checkpoint_every_steps: 500",
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The summary of a local run that nothing disturbed."""
    project = project_with_longer_trainings(tmp_path_factory.mktemp("quiet") / "project", LONGER)
    result = snakemake(project, "--", "all")
    assert result.returncode == 0, said(result)[-5000:]
    return (project / RESULTS / "summary.csv").read_bytes()


def test_the_smoke_grid_runs_by_its_documented_command(
    tmp_path: Path, slurm: PrivateSlurm, expected: bytes
) -> None:
    project = project_with_longer_trainings(tmp_path / "project", LONGER)
    (project / "slurm").symlink_to("profiles/slurm")
    grid = Grid(project, slurm)
    grid.finish(grid.start(), at_least=10)
    assert (project / RESULTS / "summary.csv").read_bytes() == expected
