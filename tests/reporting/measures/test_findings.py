"""Which comparisons are a finding is a rule: the question, the strongest attack, the lowest arm."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.grid import Arm
from rebar.reporting.measures import findings
from rebar.reporting.measures.aggregate import Results, gather
from rebar.reporting.measures.cells import find_collapsed, read_measured
from rebar.reporting.measures.findings import find_findings
from tests.reporting.fake_results import allow_any_plugin, make_config, write_results

EVALUATIONS = ["asr", "over_refusal", "capability"]
SAFE = {
    "safeguards": {"sam": {"acts_in": "alignment", "parts": [{"method": "sam"}]}},
    "grid": [
        {
            "recipes": ["raw", "moral"],
            "safeguards": ["none", "sam"],
            "alignments": ["sft"],
            "attacks": ["none", "benign_finetune", "harmful_finetune_10"],
            "decoders": ["greedy"],
            "evaluations": EVALUATIONS,
        }
    ],
}


@pytest.fixture(autouse=True)
def any_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_any_plugin(monkeypatch)
    monkeypatch.setattr(findings, "is_benign", lambda config, attack: "benign" in attack)


def results(root: Path, success, **changes) -> Results:
    config = make_config(seeds=[11], **changes)
    write_results(root, config, success)
    measured = read_measured(root, config)
    return gather(config, measured, find_collapsed(config, measured))


def test_a_safeguard_is_compared_with_its_twin(tmp_path: Path) -> None:
    def success(arm: Arm, attack: str, decoder: str) -> float:
        return {"none": 0.75, "sam": 0.5}[arm.safeguard] - 0.25 * (arm.recipe == "moral")

    found = find_findings(results(tmp_path, success, **SAFE))
    assert [each.question for each in found] == ["harmless", "adversarial", "safeguards"]
    assert [each.state for each in found] == [
        "benign_finetune",
        "harmful_finetune_10",
        "harmful_finetune_10",
    ]
    assert found[0].best[0].arm == Arm("moral", "none", "sft")
    first, control, difference = found[2].best
    assert first.arm._replace(safeguard="none") == control.arm
    assert difference.interval.value == pytest.approx(-0.25) and found[2].num_arms == 2


def test_the_strongest_attack_counts_and_the_first_three_questions(tmp_path: Path) -> None:
    def success(arm: Arm, attack: str, decoder: str) -> float:
        strength = {"none": 0.0, "benign_finetune": 0.5, "harmful_finetune_10": 0.25}[attack]
        return strength + 0.25 * (arm.recipe == "raw")

    both = {"attacks": {n: {"method": "finetune"} for n in ("benign_finetune", "stronger_benign")}}
    names = ["benign_finetune", "stronger_benign"]
    block = {**SAFE["grid"][0], "attacks": ["none", *names], "safeguards": ["none"]}

    def stronger(arm: Arm, attack: str, decoder: str) -> float:
        return success(arm, "benign_finetune" if attack in names else attack, decoder) + 0.125 * (
            attack == "stronger_benign"
        )

    found = find_findings(results(tmp_path, stronger, **both, grid=[block]))
    assert [(each.question, each.state) for each in found] == [
        ("harmless", "stronger_benign"),
        ("unattacked", "aligned"),
    ]
    assert found[0].num_states == 2
