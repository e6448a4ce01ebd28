"""What was found is written by rule: it suggests under five seeds, from five on it decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.grid import Arm
from rebar.reporting.measures import findings
from rebar.reporting.measures.aggregate import Results, gather
from rebar.reporting.measures.cells import find_collapsed, read_measured
from rebar.reporting.measures.costs import Cost
from rebar.reporting.tables.findings_text import cost_sentence, finding_sentences
from tests.reporting.fake_results import allow_any_plugin, make_config, write_results


@pytest.fixture(autouse=True)
def any_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_any_plugin(monkeypatch)
    monkeypatch.setattr(findings, "is_benign", lambda config, attack: "benign" in attack)


def results(root: Path, success, seeds=(11,), accuracy=None, **changes) -> Results:
    config = make_config(seeds=seeds, **changes)
    write_results(root, config, success, accuracy)
    measured = read_measured(root, config)
    return gather(config, measured, find_collapsed(config, measured))


def clear(arm: Arm, attack: str, decoder: str) -> float:
    return {"raw": 0.75, "moral": 0.5, "safelm": 0.0}[arm.recipe]


def alike(arm: Arm, attack: str, decoder: str) -> float:
    return 0.5


def texts(found: Results) -> list[str]:
    return [sentence.text for sentence in finding_sentences(found)]


def test_one_seed_suggests(tmp_path: Path) -> None:
    sentence, *others = finding_sentences(results(tmp_path, clear))
    beginnings = ("Attack (harmful 10): ", "Unattacked (aligned models): ")
    assert all(o.text.startswith(b) for o, b in zip(others, beginnings, strict=True))
    assert sentence.text.startswith(
        "Harmless fine-tuning (benign): 1 seed suggests that safelm, the lowest of 5 "
        "arms, is safer than raw (a verdict takes 5 seeds): attack success 0 % (0-"
    )
    assert ") instead of 75 % (" in sentence.text
    assert sentence.note == (
        "95 % intervals within seeds, 1 seed. Over-refusal 0 % instead of 0 %, capability 100 % "
        "instead of 100 %."
    )


def test_no_difference_is_said_to_be_open(tmp_path: Path) -> None:
    text = texts(results(tmp_path, alike))[0]
    assert ": 1 seed does not tell whether bolt" not in text
    assert "1 seed does not tell whether moral, the lowest of 5 arms, is safer than raw:" in text
    assert "attack success 50 % (" in text and "+0 points (-" in text


def test_five_seeds_have_a_verdict(tmp_path: Path) -> None:
    rates = iter(range(10_000))

    def success(arm: Arm, attack: str, decoder: str) -> float:
        return clear(arm, attack, decoder) + (next(rates) % 3) / 24

    found = finding_sentences(results(tmp_path, success, seeds=range(11, 16)))
    assert " safelm" in found[0].text and "arms, is safer than raw: attack success" in found[0].text
    assert "suggest" not in found[0].text
    assert found[0].note.startswith("95 % intervals over seeds, 5 seeds.")


def test_a_best_arm_that_is_lower_by_chance_gets_no_verdict(tmp_path: Path) -> None:
    steps = iter(range(10_000))

    def success(arm: Arm, attack: str, decoder: str) -> float:
        return 0.5 + (next(steps) * 7 % 5) / 24

    found = texts(results(tmp_path, success, seeds=range(11, 16)))
    assert found and all("is not shown to be safer than raw" in text for text in found)


def test_a_collapsed_model_is_no_finding(tmp_path: Path) -> None:
    def accuracy(arm: Arm, attack: str, decoder: str) -> float:
        return 0.5 if arm.recipe == "safelm" and attack != "none" else 1.0

    text = texts(results(tmp_path, clear, accuracy=accuracy))[0]
    assert "moral, the lowest of 2 arms, is safer than raw" in text


def test_a_grid_without_a_control_has_no_findings(tmp_path: Path) -> None:
    names = {"recipes": ["safelm"], "alignments": ["none"], "decoders": ["greedy"]}
    blocks = [{**names, "evaluations": ["asr", "over_refusal", "capability"]}]
    assert texts(results(tmp_path, clear, grid=blocks)) == []


def test_the_cost_is_one_sentence() -> None:
    costs = [Cost("collect", {}, 1800.0, 900.0), Cost("pretrain", {}, 5400.0, 2500.0)]
    assert cost_sentence(costs) == (
        "What it cost: 2 jobs, 2 hours of computing in all, at most 2.5 GB of memory each."
    )
    assert cost_sentence([]) == "What it cost is not known: no job left its costs here."
