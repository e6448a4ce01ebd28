from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebar.reporting.measures.aggregate import gather
from rebar.reporting.measures.cells import find_collapsed, read_measured
from rebar.reporting.measures.headline import headline, headline_csv, metrics_text
from tests.reporting.fake_results import allow_any_plugin, make_config, write_results


def test_one_entry_a_model_with_its_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_any_plugin(monkeypatch)
    config = make_config()
    write_results(tmp_path, config)
    measured = read_measured(tmp_path, config)
    entries = headline(gather(config, measured, find_collapsed(config, measured)))
    metrics = json.loads(metrics_text(entries))
    header, *rows = headline_csv(entries).splitlines()
    assert header == "model,attack_success,over_refusal,capability,knowledge"
    assert len(rows) == len(entries) == sum(len(states) for states in metrics.values())
    for row, (arm, state, shares) in zip(rows, entries, strict=True):
        assert row.split(",")[0] == f"{arm} {state}"
        measured_shares = {name: share for name, share in shares.items() if share is not None}
        assert metrics[arm][state] == measured_shares
        assert row.split(",")[1:] == ["" if s is None else f"{s:.6f}" for s in shares.values()]
    assert {"base", "aligned"} <= {state for _, state, _ in entries}
    assert any(share for _, _, shares in entries for share in shares.values())
