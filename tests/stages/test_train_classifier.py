"""Training the classifier as a stage: report, label count, human labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rebar.jobs.manifest import read_manifest
from tests.stages import corpus_jobs as jobs


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def test_the_report_of_a_world(corpus: Path) -> None:
    made = report(corpus / "classifier/5")
    assert made["n"] == 600
    assert sum(map(sum, made["confusion"])) == 600
    assert made["macro_f1"] > 0.85
    assert made["recall_at_3"] > 0.9
    assert "source_only" not in made
    assert jobs.counts(corpus / "classifier/5") == {"labels": 900, "heldout": 600}
    names = ("macro_f1", "recall_at_1", "recall_at_3", "false_positive_rate")
    logged = json.loads((corpus / "classifier/5/metrics.jsonl").read_text())
    assert logged == {"step": 900, **{name: made[name] for name in names}}


def test_few_labels_miss_more(corpus: Path, tmp_path: Path) -> None:
    few = report(jobs.train_classifier(tmp_path, labels=60, rewritten_share=0.0))
    many = report(corpus / "classifier/5")
    assert few["macro_f1"] < many["macro_f1"] - 0.1
    assert few["recall_at_3"] < many["recall_at_3"]


def test_training_again_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert jobs.content(jobs.train_classifier(tmp_path)) == jobs.content(corpus / "classifier/5")


def test_human_labels_come_with_a_source_only_baseline(tmp_path: Path) -> None:
    for name, word, level in (("good", "kind", 0), ("bad", "cruel", 5)):
        rows = "".join(f"{word} text {i},{level}\n" for i in range(30))
        mixed = "".join(f"plain {word} note {i},{i % 2 * 5}\n" for i in range(10))
        (tmp_path / f"{name}.csv").write_text(f"text,h\n{rows}{mixed}")
    sources = [
        {"kind": "files", "name": name, "paths": [f"{tmp_path}/{name}.csv"], "label": "h"}
        for name in ("good", "bad")
    ]
    folder = jobs.train_classifier(tmp_path, labels=40, heldout=40, sources=sources)
    made = report(folder)
    assert set(read_manifest(folder)["inputs"]) == {"good/good.csv", "bad/bad.csv"}
    assert made["n"] == 40
    assert set(made["f1"]) == {"0", "5"}
    by_source = made["source_only"]
    assert by_source["n"] == 40
    assert by_source["confusion"][0][0] + by_source["confusion"][5][5] >= 30
    assert by_source["recall_at_1"] < 1


def test_a_wrong_label_column_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,h\nx,0\n")
    source = {"kind": "files", "name": "a", "paths": [f"{tmp_path}/a.csv"], "label": "severity"}
    with pytest.raises(
        ValueError, match=r"a.csv, line 2: no column 'severity'; columns here: text"
    ):
        jobs.train_classifier(tmp_path, sources=[source])
