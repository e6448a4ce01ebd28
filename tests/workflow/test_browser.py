"""The MLflow UI on a finished grid, seen in a browser: what a person does to find a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.browser import CHROMIUM, page
from tests.docs.mlflow_ui import open_runs, ui

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install -y chromium"),
]


def test_a_run_is_found_by_its_recipe_and_opened(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(finished / "workflow"))
    with ui(finished) as address, page(tmp_path) as tab:
        open_runs(tab, address, recipe="safelm", group="model 0/safelm/none")
        text = tab.wait_for_text("attack 0/safelm/none/sft/harmful_finetune_10")
        assert "raw/none" not in text
        tab.click("pretrain 0/safelm/none")
        model = "pretrain-0-safelm-none"
        text = tab.wait_for_text("Run ID", "loss", "pretrain.steps", "Finished", model)
        assert "pretrain 0/safelm/none" in text
        assert "count.tokens" in text
        assert "recipe\n: safelm" in text
        tab.open(f"{address}/#/experiments/1/models")
        tab.wait_for_text("align-0-raw-none-sft", model)
    assert {file.name for file in finished.glob("*.db")} == {"mlflow.db"}
