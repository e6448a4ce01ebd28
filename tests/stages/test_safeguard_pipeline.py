"""A grid with a safeguard in each place, from documents to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from rebar.config.file import parse_config
from rebar.grid.check import check_grid
from tests.grid_runs import run_grid, run_job
from tests.stages.safeguard_jobs import PLACES, config, names

EVALUATIONS = ("asr", "over_refusal", "capability")


def test_a_grid_with_safeguards_runs_to_its_report(tmp_path: Path) -> None:
    values = config().model_dump(mode="json")
    values["evaluations"] |= {
        name: {"method": name, "judge": "world", "max_new_tokens": 4} for name in EVALUATIONS
    }
    values["grid"][0]["evaluations"] = list(EVALUATIONS)
    settings = parse_config(values, "f.yaml")
    check_grid(settings, "f.yaml")
    run_grid(settings, tmp_path)
    rows = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False)
    cells = rows[["safeguard", "attack"]].drop_duplicates()
    assert len(cells) == 2 * (1 + len(PLACES))
    for file in (tmp_path / "models").rglob("costs.json"):
        file.write_text(json.dumps({"seconds": 9.0, "train_seconds": 4.0, "peak_mb": 500}))
    for stage in ("summarize", "report"):
        run_job(settings, tmp_path, stage)
    page = (tmp_path / "report.html").read_text()
    assert "<h3>Safeguards</h3>" in page
    assert "<td>raw + after + sft</td><td>own stage</td>" in page
    assert '<td class="n">2.00</td><td class="n"></td><td class="n">1.00</td>' in page
    costs = pd.read_csv(tmp_path / "costs.csv")
    assert set(costs[costs.passes == 2].safeguard) == set(PLACES)
    answers = "evaluations/models/0/raw/after/sft/released/generations.parquet"
    assert set(pd.read_parquet(tmp_path / answers).safeguard) == {"after"}
    assert names("after").keys() <= set(rows.columns)
