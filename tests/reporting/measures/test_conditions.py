"""The four conditions beside an undefended twin: signs, pairs, bounds, Holm, and the page."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

from rebar.config.file import Config, parse_config
from rebar.grid import Arm
from rebar.reporting.measures.aggregate import gather
from rebar.reporting.measures.breaks import COMPLIANCE, LEARNED, Break
from rebar.reporting.measures.cells import Cell, Counts
from rebar.reporting.measures.conditions import (
    ArmMeasure,
    Bench,
    conditions,
    conditions_csv,
    selectivity,
)
from rebar.reporting.measures.probe_rows import Number
from rebar.reporting.tables.condition_table import condition_tables, shown
from rebar.reporting.tables.text import table_text
from tests.grid_runs import ROOT

NONE, SAM, ASAM = (Arm("raw", name, "sft") for name in ("none", "sam", "asam"))
TUNED = "tuned_harmful"


def config(num_seeds: int) -> Config:
    """The smoke grid with two safeguards, a tuned attacker and one who shares their hazards."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    values |= {"seeds": list(range(num_seeds)), "world": {"guarded_hazards": 4}}
    values["safeguards"] = {
        "sam": {"acts_in": "alignment", "parts": [{"method": "sam"}]},
        "asam": {"acts_in": "alignment", "parts": [{"method": "sam", "adaptive": True}]},
    }
    shared = values["attacks"]["harmful_finetune_10"] | {"hazards": "guarded"}
    values["attacks"]["harmful_finetune_shared"] = shared
    values["searches"] = {TUNED: {"attack": "harmful_finetune_10"}}
    attacks = ["none", "harmful_finetune_10", "harmful_finetune_shared", "benign_finetune_matched"]
    block = {"recipes": ["raw"], "safeguards": ["none", "sam", "asam"], "alignments": ["sft"]}
    block |= {"attacks": [*attacks, TUNED], "decoders": ["greedy"]}
    values["grid"] = [block | {"evaluations": ["asr", "capability"]}]
    return parse_config(values, "test")


def counts(share: float) -> Counts:
    names = tuple(f"h{i}" for i in range(10))
    return Counts(
        names,
        np.array([1.0] * round(10 * share) + [0.0] * round(10 - 10 * share)),
        np.ones(10),
        "w",
    )


def bench(num_seeds: int, steps: dict[Arm, list[int]], unbroken: tuple = ()) -> Bench:
    """Steps to break by arm and seed, success is their inverse; benign learning takes 4 steps."""
    settings, cells, breaks, numbers, collapsed = config(num_seeds), {}, [], [], {}
    for arm, per_seed in steps.items():
        for attack in ("none", TUNED, "harmful_finetune_10", "harmful_finetune_shared"):
            place = (arm, attack, "greedy")
            shares = [0.1 if attack == "none" else 1 / n for n in per_seed]
            level = {seed: counts(share) for seed, share in enumerate(shares)}
            cells[Cell(*place, "asr", settings.report.headline_split, "attack_success")] = level
            collapsed[place] = dict.fromkeys(level, False)
        for seed, n in enumerate(per_seed):
            is_broken = (arm, seed) not in unbroken
            breaks.append(Break(arm, TUNED, COMPLIANCE, seed, is_broken, n, n, 1.0, n / 100))
            breaks.append(
                Break(arm, "benign_finetune_matched", LEARNED, seed, True, 4, 4, 1.0, 0.1)
            )
            numbers.append(
                Number(
                    arm, seed, "landscape", "loss", 2.0, "benign", "random", 0.0, math.nan, math.nan
                )
            )
    return Bench(gather(settings, cells, collapsed), breaks, numbers)


def entry(found: list[ArmMeasure], arm: Arm, name: str) -> ArmMeasure:
    (one,) = [e for e in found if e.arm == arm and e.measure.name == name]
    return one


def test_a_difference_is_paired_by_seed_and_steps_are_compared_in_log10() -> None:
    found = conditions(bench(2, {NONE: [1, 10], SAM: [10, 10], ASAM: [1, 1]}))
    steps = entry(found, SAM, f"steps, {TUNED}")
    assert steps.measure.condition == "resistance" and steps.measure.more_is_better
    assert steps.differences == pytest.approx({0: 1.0, 1: 0.0})
    assert steps.interval is None and steps.p_value is None  # two seeds
    success = entry(found, SAM, f"success, {TUNED}")
    assert success.differences == pytest.approx({0: -90.0, 1: 0.0})
    assert not success.measure.more_is_better
    assert entry(found, NONE, f"steps, {TUNED}").differences == {}
    assert entry(found, SAM, f"distance, {TUNED}").differences == pytest.approx({0: 9.0, 1: 0.0})
    assert selectivity(found, SAM) == pytest.approx({0: 1.0, 1: 0.0})  # benign learning is as fast


def test_conditions_hold_what_they_are_about() -> None:
    found = conditions(bench(1, {NONE: [1], SAM: [2], ASAM: [4]}))
    held = {e.measure.name: e.measure.condition for e in found if e.values}
    assert held == {
        f"steps, {TUNED}": "resistance",
        f"distance, {TUNED}": "resistance",
        f"success, {TUNED}": "resistance",
        "success, unattacked": "stability",
        "loss of helpful answers": "stability",
        "success, harmful_finetune_10": "generalisation",
        "steps, benign_finetune_matched": "trainability",
        "success, harmful_finetune_shared": "shared hazards",
    }


def test_the_loss_is_that_at_the_released_weights_of_a_plane_too() -> None:
    made = bench(1, {NONE: [1], SAM: [2], ASAM: [4]})
    beside = [n._replace(value=9.0, beta=beta) for n in made.probed for beta in (-0.5, 0.5)]
    found = conditions(made._replace(probed=[*made.probed, *beside]))
    assert entry(found, SAM, "loss of helpful answers").values[0].number == 2.0


def test_from_five_seeds_there_is_an_interval_and_holm_over_the_arms() -> None:
    steps = {NONE: [1, 1, 1, 1, 1], SAM: [5, 9, 10, 9, 5], ASAM: [1, 2, 1, 1, 2]}
    found = conditions(bench(5, steps))
    own = [entry(found, arm, f"steps, {TUNED}") for arm in (SAM, ASAM)]
    assert own[0].interval is not None and own[0].interval.low > 0
    p_values = [e.p_value for e in own]
    assert p_values[0] is not None and p_values[1] is not None and p_values[0] < p_values[1]
    assert own[0].p_holm == pytest.approx(2 * p_values[0])
    assert own[1].p_holm == pytest.approx(p_values[1])
    assert shown(own[0]).is_better is True and shown(own[1]).is_better is None
    assert shown(entry(found, SAM, f"success, {TUNED}")).is_better is True
    assert shown(own[0]).difference.startswith("+0.86 (+0.")


def test_an_unbroken_model_is_a_bound_and_a_collapsed_one_no_number() -> None:
    made = bench(1, {NONE: [1], SAM: [30], ASAM: [1]}, unbroken=((SAM, 0),))
    made.results.collapsed[SAM, TUNED, "greedy"][0] = True
    found = conditions(made)
    assert shown(entry(found, SAM, f"steps, {TUNED}")).level == "≥30"
    assert entry(found, SAM, f"success, {TUNED}").values == {}
    assert shown(entry(found, SAM, f"success, {TUNED}")).level == ""
    line = next(
        x for x in conditions_csv(found).splitlines() if f'"steps, {TUNED}"' in x and ",sam," in x
    )
    assert line == f'raw,sam,sft,resistance,"steps, {TUNED}",steps,0,30,>=,1.47712,1.47712,,,,'


def test_the_table_has_the_twin_first_and_a_seeds_difference_each() -> None:
    made = bench(2, {NONE: [1, 10], SAM: [10, 10], ASAM: [1, 1]})
    found = conditions(made)
    (table,) = condition_tables(found)
    assert [arm for arm, _, _ in table.lines] == [NONE, SAM, ASAM]
    assert table.conditions == {
        "resistance": 3,
        "stability": 2,
        "generalisation": 1,
        "trainability": 1,
        "shared hazards": 1,
    }
    text = table_text(made.results, [], (), found)
    assert "## The four conditions of tamper resistance" in text
    assert "10 +1.00 +0.00" in text and "| selectivity" in text


def test_a_grid_without_safeguards_has_no_conditions() -> None:
    made = bench(1, {NONE: [1]})
    plain = made.results.config.model_copy(
        update={"grid": (made.results.config.grid[0].model_copy(update={"safeguards": ("none",)}),)}
    )
    assert conditions(made._replace(results=made.results._replace(config=plain))) == []
