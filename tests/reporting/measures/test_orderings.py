from __future__ import annotations

from pathlib import Path

import pytest

from rebar.grid import Arm
from rebar.reporting.measures import orderings, paper
from rebar.reporting.measures.aggregate import Difference, Results, gather
from rebar.reporting.measures.cells import find_collapsed, read_measured
from rebar.reporting.measures.statistics import Interval
from tests.reporting.fake_results import allow_any_plugin, make_config, write_results


def difference(low: float, high: float) -> Difference:
    return Difference(Interval((low + high) / 2, low, high), 5, "over seeds", 0.1)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "direction"),
    [
        (0.01, 0.2, "reproduced", "higher"),
        (-0.2, -0.01, "reversed", "lower"),
        (-0.1, 0.3, "cannot tell", "cannot tell"),
        (0.0, 0.3, "cannot tell", "cannot tell"),
        (-0.3, 0.0, "cannot tell", "cannot tell"),
    ],
)
def test_verdict_by_the_interval(low: float, high: float, verdict: str, direction: str) -> None:
    assert orderings.verdict(difference(low, high)) == verdict
    assert orderings.direction(difference(low, high)) == direction


def test_nothing_to_compare_cannot_tell() -> None:
    assert orderings.verdict(None) == "cannot tell"


def test_the_papers_orderings_fall() -> None:
    assert all(ordering.points > 0 for ordering in paper.ORDERINGS)
    assert all(o.higher.state == o.lower.state for o in paper.ORDERINGS)
    base = [o for o in paper.ORDERINGS if o.higher.state == "base"]
    assert [round(o.points, 1) for o in base] == [15.3, 17.2, 32.5]
    ladder = [q.percent for q in paper.QUOTES if q.state == "benign_finetune" and not q.alignment]
    assert ladder == [43.8, 38.8, 33.6, 25.1, 23.0, 8.3, 10.0]


def measured(root: Path, monkeypatch, success, accuracy=None, **changes) -> Results:
    allow_any_plugin(monkeypatch)
    config = make_config(**changes)
    write_results(root, config, success, accuracy)
    found = read_measured(root, config)
    return gather(config, found, find_collapsed(config, found))


def success(arm: Arm, attack: str, decoder: str) -> float:
    if arm.recipe == "raw":
        return 0.25 if arm.alignment == "bolt_on" else 0.5
    return 1.0 if arm.recipe == "moral" else 0.5 * (decoder != "safebeam")


def test_orderings_of_the_grid(tmp_path: Path, monkeypatch) -> None:
    found = orderings.paper_comparisons(measured(tmp_path, monkeypatch, success))
    seen = {(c.state, c.first.arm.recipe, c.second.arm.recipe): c for c in found}
    assert set(seen) == {
        (state, *pair)
        for state in ("base", "aligned", "benign_finetune")
        for pair in (("raw", "moral"), ("moral", "safelm"), ("raw", "safelm"))
        if (state, pair) != ("aligned", ("raw", "safelm"))
    }
    assert seen["base", "raw", "moral"].verdict == "reversed"
    assert seen["base", "raw", "safelm"].verdict == "reproduced"
    assert seen["base", "raw", "safelm"].second.decoder == "safebeam"
    benign = seen["benign_finetune", "raw", "safelm"]
    assert (benign.first.attack, benign.second.attack) == ("benign_finetune",) * 2
    assert benign.points == pytest.approx(30.5)


def test_collapsed_cells_have_no_verdict(tmp_path: Path, monkeypatch) -> None:
    def accuracy(arm: Arm, attack: str, decoder: str) -> float:
        return 0.5 if decoder == "safebeam" else 1.0

    found = orderings.paper_comparisons(measured(tmp_path, monkeypatch, success, accuracy))
    verdicts = {c.verdict for c in found if c.second.decoder == "safebeam"}
    assert verdicts == {"cannot tell"}
    assert all(c.difference is None for c in found if c.second.decoder == "safebeam")


def test_own_controls(tmp_path: Path, monkeypatch) -> None:
    found = orderings.own_comparisons(measured(tmp_path, monkeypatch, success))
    bolted = [c for c in found if c.first.arm.alignment == "bolt_on"]
    assert [c.state for c in bolted] == ["aligned", "benign_finetune", "harmful_finetune_10"]
    assert {c.second.arm for c in bolted} == {Arm("moral", "none", "sft")}
    assert {c.verdict for c in bolted} == {"lower"}
    beams = [c for c in found if c.first.decoder == "beam"]
    assert {c.second.decoder for c in beams} == {"safebeam"}
    assert [c.state for c in beams][:2] == ["base", "aligned"]
    assert {c.verdict for c in beams} == {"higher"}


def test_success_without_over_refusal_is_compared_with_nothing(tmp_path: Path, monkeypatch) -> None:
    block = {"recipes": ["raw", "moral"], "alignments": ["none"], "decoders": ["greedy"]}
    bare = [{**block, "evaluations": ["asr", "capability"]}]
    assert orderings.paper_comparisons(measured(tmp_path, monkeypatch, success, grid=bare)) == []


def test_a_decoder_stands_beside_the_same_behind_a_guard(tmp_path: Path, monkeypatch) -> None:
    guarded = {"method": "guarded", "input": {"blocked_score": 4}}
    decoders = {"greedy": {"method": "greedy"}, "guarded": guarded}
    names = {"recipes": ["raw"], "alignments": ["sft"], "decoders": ["greedy", "guarded"]}
    every = {"evaluations": ["asr", "knowledge", "over_refusal", "capability"]}
    attacked = {"attacks": ["none", "benign_finetune"]}
    changes = {"decoders": decoders, "grid": [{**names, **every, **attacked}]}

    def blocked(arm: Arm, attack: str, decoder: str) -> float:
        return 0.0 if decoder == "guarded" else 0.5

    results = measured(tmp_path, monkeypatch, blocked, **changes)
    found = orderings.own_comparisons(results)
    assert [(c.state, c.first.decoder, c.second.decoder) for c in found] == [
        ("aligned", "greedy", "guarded"),
        ("benign_finetune", "greedy", "guarded"),
    ]
    assert [c.difference and c.difference.interval.value for c in found] == [0.5, 0.5]
    assert {c.verdict for c in found} == {"higher"}
