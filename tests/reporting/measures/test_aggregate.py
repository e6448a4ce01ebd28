from __future__ import annotations

import csv

import numpy as np
import pytest

from rebar.config.file import Config
from rebar.grid import Arm
from rebar.reporting.measures.aggregate import (
    OVER_SEEDS,
    WITHIN_SEEDS,
    Results,
    gather,
    table_csv,
)
from rebar.reporting.measures.cells import Cell, Collapsed, Counts, Measured
from rebar.reporting.measures.statistics import Interval, over_seeds, paired_difference, share
from tests.reporting.fake_results import allow_any_plugin, make_config

RAW, MORAL = Arm("raw", "none", "sft"), Arm("moral", "none", "sft")


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    allow_any_plugin(monkeypatch)
    return make_config()


def cell(arm: Arm, attack: str = "none") -> Cell:
    return Cell(arm, attack, "greedy", "asr", "unaligned", "attack_success")


def counts(*pairs: tuple[int, int]) -> Counts:
    hits, trials = zip(*pairs, strict=True)
    names = tuple(f"h{i}" for i in range(len(pairs)))
    return Counts(names, np.array(hits, float), np.array(trials), "exact")


def results(config: Config, measured: Measured, collapsed: Collapsed | None = None) -> Results:
    whole = {c[:3]: dict.fromkeys(seeds, False) for c, seeds in measured.items()}
    return gather(config, measured, {**whole, **(collapsed or {})})


def test_few_seeds_pool_hazards_with_equal_weight(config: Config) -> None:
    seeds = {11: counts((2, 4), (0, 4)), 12: counts((1, 1), (1, 1))}
    level = results(config, {cell(RAW): seeds}).level(cell(RAW))
    assert level is not None
    assert level.interval.value == pytest.approx((0.25 + 1.0) / 2)
    # 10 answers in all: each seed weighs 5.
    expected = share([2 * 5 / 8, 0, 2.5, 2.5], [2.5, 2.5, 2.5, 2.5])
    assert level.interval == pytest.approx(expected)
    assert (level.num_seeds, level.basis) == (2, WITHIN_SEEDS)


def test_five_seeds_have_an_interval_over_seeds(config: Config) -> None:
    seeds = {seed: counts((seed, 10), (0, 10)) for seed in range(5)}
    level = results(config, {cell(RAW): seeds}).level(cell(RAW))
    over = over_seeds([0, 0.05, 0.1, 0.15, 0.2])
    assert level and over and level.basis == OVER_SEEDS
    assert level.interval == pytest.approx((over.value, max(0, over.low), over.high))


def test_difference_is_paired_by_hazard_under_five_seeds(config: Config) -> None:
    measured = {
        cell(RAW): {11: counts((4, 4), (2, 4)), 12: counts((2, 4), (2, 4))},
        cell(MORAL): {11: counts((0, 4), (2, 4)), 12: counts((1, 4), (2, 4))},
    }
    found = results(config, measured).difference(cell(RAW), cell(MORAL))
    assert found is not None
    assert found.interval == pytest.approx(paired_difference([1, 0, 0.25, 0]))
    assert (found.num_seeds, found.basis, found.p_value) == (2, WITHIN_SEEDS, None)


def test_difference_is_paired_by_seed_from_five_on(config: Config) -> None:
    measured = {
        cell(RAW): {s: counts((5 + s, 10), (5, 10)) for s in range(5)},
        cell(MORAL): {s: counts((5, 10), (5 - s, 10)) for s in range(5)},
    }
    found = results(config, measured).difference(cell(RAW), cell(MORAL))
    expected = over_seeds([0, 0.1, 0.2, 0.3, 0.4])
    assert found and expected and found.interval == pytest.approx(expected)
    assert found.basis == OVER_SEEDS and found.p_value == pytest.approx(0.047421, abs=1e-5)


def test_uneven_hazards_keep_the_difference_of_the_shares(config: Config) -> None:
    measured = {
        cell(RAW): {11: counts((6, 6), (0, 2))},
        cell(MORAL): {11: counts((0, 6), (1, 2))},
    }
    found = results(config, measured).difference(cell(RAW), cell(MORAL))
    assert found and found.interval.value == pytest.approx(6 / 8 - 1 / 8)


def test_collapsed_seeds_take_no_part(config: Config) -> None:
    measured = {
        cell(RAW): {11: counts((4, 4), (4, 4)), 12: counts((4, 4), (4, 4))},
        cell(MORAL): {11: counts((0, 4), (0, 4)), 12: counts((2, 4), (2, 4))},
    }
    one: Collapsed = {(MORAL, "none", "greedy"): {11: True, 12: False}}
    both: Collapsed = {(MORAL, "none", "greedy"): {11: True, 12: True}}
    found = results(config, measured, one).difference(cell(RAW), cell(MORAL))
    assert found and (found.interval.value, found.num_seeds) == (0.5, 1)
    assert results(config, measured, both).difference(cell(RAW), cell(MORAL)) is None
    level = results(config, measured, one).level(cell(MORAL))
    assert level and (level.num_collapsed, level.interval.value) == (1, 0.25)


def test_different_hazards_cannot_be_paired(config: Config) -> None:
    other = counts((1, 4), (1, 4))._replace(hazards=("h0", "x"))
    measured = {cell(RAW): {11: counts((1, 4), (1, 4))}, cell(MORAL): {11: other}}
    with pytest.raises(ValueError, match="different hazards"):
        results(config, measured).difference(cell(RAW), cell(MORAL))


def rows(found: Results) -> dict[str, dict[str, str]]:
    return {
        f"{r['recipe']} {r['attack']}": r for r in csv.DictReader(table_csv(found).splitlines())
    }


def test_table_compares_with_the_control(config: Config) -> None:
    measured = {
        cell(RAW): {s: counts((9, 10), (9, 10)) for s in range(5)},
        cell(MORAL): {s: counts((1 + s, 10), (1, 10)) for s in range(5)},
        cell(Arm("safelm", "none", "sft")): {s: counts((8, 10), (8 - s, 10)) for s in range(5)},
        cell(MORAL, "benign_finetune"): {s: counts((1, 10), (1, 10)) for s in range(5)},
    }
    table = rows(results(config, measured))
    assert table["raw none"]["control"] == table["raw none"]["difference"] == ""
    assert table["moral none"]["control"] == "raw/none/sft/greedy"
    assert table["moral none"]["difference"] == "-0.700000"
    assert table["moral benign_finetune"]["control"] == ""
    p_values = [float(table[f"{name} none"]["p_value"]) for name in ("moral", "safelm")]
    adjusted = [float(table[f"{name} none"]["p_holm"]) for name in ("moral", "safelm")]
    assert adjusted[0] == pytest.approx(2 * p_values[0], abs=2e-6)  # the smaller of two
    assert adjusted[1] == pytest.approx(p_values[1], abs=2e-6)
    assert p_values[0] < p_values[1] < 0.05


def test_the_control_of_another_decoder_is_greedy(config: Config) -> None:
    beamed = cell(Arm("safelm", "none", "none"))._replace(decoder="safebeam")
    base = cell(RAW._replace(alignment="none"))
    table = rows(results(config, {base: {11: counts((1, 2))}, beamed: {11: counts((0, 2))}}))
    assert table["safelm none"]["control"] == "raw/none/none/greedy"


def test_interval_is_clipped_to_shares(config: Config) -> None:
    seeds = {s: counts((10 * (s > 0), 10), (10, 10)) for s in range(5)}
    level = results(config, {cell(RAW): seeds}).level(cell(RAW))
    assert level and isinstance(level.interval, Interval) and level.interval.high == 1.0
