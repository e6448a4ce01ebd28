"""Every shipped config runs from documents to the report, cut down to seconds.

But smoke.yaml, which other tests run whole, and real.yaml: its rewriting by SmolLM2 takes minutes
however few documents there are.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from rebar import grid
from rebar.config import parse_config
from tests.grid_runs import ROOT, cut_down, run_grid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FILES = sorted(
    file for file in (ROOT / "config").glob("*.yaml") if file.stem not in ("smoke", "real")
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_config_runs_to_its_report(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # prompt files lie at paths relative to the project
    config = parse_config(cut_down(file), file.name)
    grid.check(config, file.name)
    run_grid(config, tmp_path)
    rows = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False)
    measured = set(rows[["recipe", "alignment", "attack", "decoder", "evaluation"]].itertuples())
    found = {tuple(row)[1:] for row in measured}
    for arm in grid.arms(config):
        for cell in grid.measurements(config, arm):
            assert (arm.recipe, arm.alignment, *cell) in found
    assert (tmp_path / "report.html").stat().st_size > 10_000
