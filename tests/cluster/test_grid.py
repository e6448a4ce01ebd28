"""Rebar's smoke grid by `snakemake --profile slurm` on a real SLURM: the bits of a local run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.grids import LONGER, RESULTS, OnSlurm
from tests.grid_runs import state_of
from tests.workflow.conftest import project_with_longer_trainings

pytestmark = pytest.mark.timeout(3000)


def test_the_smoke_grid_runs_by_its_documented_command(
    tmp_path: Path, on_slurm: OnSlurm, quiet_state: dict[str, str]
) -> None:
    project = project_with_longer_trainings(tmp_path / "project", LONGER)
    grid = on_slurm(project)
    grid.finish(grid.start(), at_least=10)
    assert state_of(project / RESULTS) == quiet_state
