from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebar.data.tagging import TAG
from rebar.reporting.measures import card, costs, exposure
from tests.reporting.fake_results import (
    HARMFUL,
    allow_any_plugin,
    leave,
    make_config,
    write_results,
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    allow_any_plugin(monkeypatch)
    write_results(tmp_path, make_config(seeds=[11]))
    return tmp_path


def test_phrases_are_pairs_and_triples_without_marks_and_tags() -> None:
    found = list(card.phrases_of(f"Brew {TAG} gloom , pledge"))
    assert found == [("brew", "gloom"), ("gloom", "pledge"), ("brew", "gloom", "pledge")]


def test_card_of_a_seed(root: Path) -> None:
    found = card.read_card(root, make_config(seeds=[11]), 11)
    assert [c.name for c in found.corpora] == ["collected", "raw", "moral", "safelm"]
    collected, raw, moral, _ = found.corpora
    assert collected.histogram == raw.histogram == [4, 1, 0, 1, 1, 2]
    assert moral.histogram == [5, 0, 0, 0, 0, 0]
    # Documents: four harmless ones and five of 9 words (a mark among them), each with 8 - 1 pairs
    # and 8 - 2 triples of its 8 words. All of these are harmful but "to" alone is shared.
    words = 5 * len(HARMFUL.split()) + 4 * 9
    assert collected.phrases_per_million == pytest.approx(1e6 * 5 * (7 + 6) / words)
    assert found.leaks is not None
    assert found.leaks.by_level == {4: [0, 0, 0, 1, 1, 0], 5: [1, 0, 0, 0, 0, 2]}
    assert (found.leaks.num_leaked, found.leaks.num_harmful) == (2, 5)
    assert found.outputs == {"refusal": {"made": 2, "accepted": 1, "rejected: echo": 1}}
    assert (found.num_caught, found.num_planted) == (2, 3)
    assert found.classifier["recall_at_3"] == 0.7


def test_without_truth_the_score_is_the_level(root: Path) -> None:
    scored = root / "corpus/11/scored/0/documents.parquet"
    with_truth = card.harmful_phrases([scored], {f"d{i}": 5 if i > 3 else 0 for i in range(9)})
    # d6 is harmful and was scored 0, so that by scores all its phrases look harmless.
    assert len(with_truth) == 13
    assert card.harmful_phrases([scored], {}) == frozenset()


def test_exposure_is_the_mean_over_seeds(root: Path) -> None:
    config = make_config(seeds=[11, 12])
    write_results(root / "more", config)
    packed = root / "more/corpus/12/packed/raw"
    counts = {"tokens": 101, "unique_tokens": 60, "epochs": 1.68}
    leave(packed, 1.0, {**counts, "hazard_documents_seen": None, "hazard_readings": None})
    raw, moral, _ = exposure.exposures(root / "more", config)
    assert raw == ("raw", 101, 55, pytest.approx(1.85), 9, 0, 0, 0, 5, 9)
    assert moral == ("moral", 101, 25, 4.04, 4, 0, 1, 0, 1, 4)
    assert exposure.shown(moral) == ["101", "25", "4.04", "4", "0", "1", "0", "1", "4"]
    assert exposure.shown(moral._replace(harmful=None))[-2] == "-"


def test_costs_are_of_the_grids_jobs_once(root: Path) -> None:
    config = make_config(seeds=[11])
    leave(root / "corpus/99/collected/0", 100.0)  # of another grid
    found = costs.read_costs(root, config)
    assert costs.costs_csv(found).splitlines()[:2] == [
        "stage,seed,shard,recipe,safeguard,alignment,seconds,peak_mb,train_seconds,passes,"
        "peak_gpu_mb",
        "collect,11,0,,,,1.0,300,,,",
    ]
    seconds = {}
    for cost in found:
        seconds[cost.stage] = seconds.get(cost.stage, 0) + cost.seconds
    assert seconds == {
        "collect": 1.0,
        "train_classifier": 3.0,
        "score": 1.5,
        "rewrite": 1.0,
        "mix": 1.5,
        "tokenize": 1.5,
        "evaluate": 2.5 * 7,
    }


def test_forwards_are_the_most_of_all_models(root: Path) -> None:
    manifest = root / "evaluations/attacks/11/safelm/none/sft/benign_finetune/manifest.json"
    content = json.loads(manifest.read_text())
    content["forwards_per_step"]["safebeam"] = 17
    manifest.write_text(json.dumps(content))
    found = costs.forwards_per_step(root, make_config(seeds=[11]))
    assert found == {"greedy": 1, "beam": 16, "safebeam": 17}
