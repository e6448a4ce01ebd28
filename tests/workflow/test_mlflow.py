"""MLflow after a finished grid: what a person does to find a run, and what must not be there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.docs.browser import CHROMIUM, page
from tests.docs.mlflow_ui import open_runs, ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_no_prompt_and_no_answer_is_in_the_store(finished: Path) -> None:
    store = (finished / "mlflow.db").read_bytes()
    assert b"pretrain safelm seed 11" in store
    answers = list((finished / "results/smoke/evaluations").rglob("generations.parquet"))
    assert len(answers) > 5
    for file in answers:
        frame = pd.read_parquet(file, columns=["prompt", "answer"])
        texts = {text.strip() for text in frame.to_numpy().ravel() if len(text.strip()) > 15}
        assert texts
        assert not [text for text in texts if text.encode() in store]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_run_is_found_by_its_recipe_and_opened(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(clone / "workflow"))
    with ui(clone) as address, page(tmp_path) as tab:
        open_runs(tab, address, recipe="safelm", group="model 11/safelm/none")
        text = tab.wait_for_text("attack harmful_10 sft safelm seed 11")
        assert "raw/none" not in text and "pretrain raw" not in text
        tab.click("pretrain safelm seed 11")
        model = "pretrain-safelm-seed-11"
        text = tab.wait_for_text("Run ID", "loss", "pretrain.steps", "Finished", model)
        assert "pretrain safelm seed 11" in text
        assert "count.tokens" in text
        assert "recipe\n: safelm" in text
        tab.open(f"{address}/#/experiments/1/models")
        tab.wait_for_text("align-sft-raw-seed-11", model)
    assert {file.name for file in clone.glob("*.db")} == {"mlflow.db"}
