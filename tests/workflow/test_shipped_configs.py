"""Every shipped config runs from documents to the report, cut down to seconds.

But smoke.yaml, which other tests run whole, own.yaml (test_own_checkpoint.py) and real.yaml: its
rewriting by SmolLM2 takes minutes however few documents there are. The paper's configs run with
local folders in place of the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rebar import grid
from rebar.config.file import Config, parse_config
from rebar.corpus import rewriting_model
from rebar.data.documents import DOCUMENTS, Document, read_documents
from rebar.grid.check import check_grid
from rebar.grid.hub_access import hub_ids
from tests.grid_runs import ROOT, cut_down, run_grid
from tests.stand_ins import cut_down_paper, written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # safeguards-full: 60 arms
PAPER = sorted((ROOT / "config").glob("paper*.yaml"))
OTHERS = ("smoke", "real", "own", *(file.stem for file in PAPER))
FILES = sorted(file for file in (ROOT / "config").glob("*.yaml") if file.stem not in OTHERS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_config_runs_to_its_report(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # prompt files lie at paths relative to the project
    config = parse_config(cut_down(file), file.name)
    check_grid(config, file.name)
    run_grid(config, tmp_path)
    check_report(config, tmp_path)


@pytest.mark.parametrize("file", PAPER, ids=lambda file: file.stem)
def test_the_papers_grid_runs_to_its_report_without_the_hub(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def generate(messages: Any, prefills: Any, settings: Any, seed: int) -> list[Any]:
        rewriting_model._load(settings.model, settings.revision)
        return written(prefills)

    monkeypatch.setattr(rewriting_model, "_generate", generate)
    config = parse_config(cut_down_paper(file, tmp_path / "hub"), file.name)
    assert not hub_ids(config)
    check_grid(config, file.name)
    results = tmp_path / "results"
    run_grid(config, results)
    check_report(config, results)
    made = {d.transform for d in documents(config, results)}
    assert made == {"original", "rephrase", "refusal", "moral"}


def documents(config: Config, results: Path) -> list[Document]:
    """Documents of the recipe with all parts."""
    folder = results / grid.folder("mix", seed=config.seeds[0], recipe="safelm")
    return [d for batch in read_documents(folder / DOCUMENTS) for d in batch]


def check_report(config: Config, results: Path) -> None:
    """Every cell of the grid has a row, and there is a page."""
    rows = pd.read_csv(results / "summary.csv", keep_default_na=False)
    measured = set(rows[["recipe", "alignment", "attack", "decoder", "evaluation"]].itertuples())
    found = {tuple(row)[1:] for row in measured}
    for arm in grid.arms(config):
        for cell in grid.measurements(config, arm):
            assert (arm.recipe, arm.alignment, *cell) in found
    assert (results / "report.html").stat().st_size > 10_000
