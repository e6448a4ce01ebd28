"""MLAC's original experiment, cut down to seconds."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import pytest
import torch
from benchmarks.self_destructing import __main__ as experiment
from benchmarks.self_destructing import attacker, biographies, defender, encoder
from benchmarks.self_destructing.attacker import Budget, Outcome
from benchmarks.self_destructing.defender import Adversary, Defence, DefenderTraining

from rebar.safeguards.mlac.unrolled import adapted
from rebar.training.checkpoints import trained_parameters
from tests.model.tiny import tiny_tokenizer

TINY = experiment.ExperimentSizes(
    outer=DefenderTraining(steps=3, batch=8, learning_rate=1e-3),
    defence=Defence(inner_steps=2),
    budget=Budget(shots=(8, 16), trials=3, patience=2, seeds=2, steps=(2, 5)),
    biographies=300,
    held=50,
    attackers=60,
    masked_steps=2,
    profession_examples=40,
    profession_steps=5,
    length=24,
)
VALUES = {"learning_rate": 1e-3, "steps": 5, "batch": 8, "reset_head": True, "freeze_layers": True}


@pytest.fixture(scope="module")
def data() -> biographies.Biographies:
    return biographies.prepare_splits(biographies.generate_biographies(300, 1), 50, 60, 24)


@pytest.fixture
def model(data):
    return encoder.build_encoder(data.vocabulary, data.professions, 24, seed=0)


def test_the_published_numbers_are_the_defaults() -> None:
    numbers = experiment.ExperimentSizes()
    assert numbers.outer == (50_000, 10, 1e-4, 10.0)
    assert numbers.defence[:5] == (16, True, "learned", (8, 16, 24), 100.0)
    assert numbers.budget == ((20, 50, 100, 200), 50, 15, 15, (100, 1000))


def test_labels_leave_traces_and_are_not_named() -> None:
    table = biographies.generate_biographies(4000, 1)
    pd.testing.assert_frame_equal(table, biographies.generate_biographies(4000, 1))
    assert table["profession"].nunique() == len(biographies.TRACES) == 28
    assert table["gender"].mean() == pytest.approx(0.5, abs=0.03)
    spread = table.groupby("profession")["gender"].mean()
    assert spread.between(0.35, 0.65).all()  # independent of each other
    named = set(biographies.TRACES) - {"model"}
    assert not any(named & set(text.split()) for text in table["text"])
    names = [set(names.split()) for names in biographies.NAMES]
    kinds = [next(k for k in (0, 1) if names[k] & set(t.split())) for t in table["text"]]
    agree = [kind == truth for kind, truth in zip(kinds, table["gender"], strict=True)]
    assert 0.8 < sum(agree) / len(agree) < 0.97


def test_pronouns_go() -> None:
    assert biographies.remove_pronouns("He said his theme; Mrs Her") == "_ said _ theme; _ _"


def test_a_users_set_is_read_and_checked(tmp_path: Path) -> None:
    table = biographies.generate_biographies(200, 2)
    table.to_parquet(tmp_path / "bios.parquet")
    table.to_csv(tmp_path / "bios.csv", index=False)
    for name in ("bios.parquet", "bios.csv"):
        read = biographies.read_biographies(tmp_path / name)
        pd.testing.assert_frame_equal(read.sort_index(), table, check_dtype=False)
    table.rename(columns={"gender": "sex"}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match=r"other\.csv has no column gender; rename"):
        biographies.read_biographies(tmp_path / "other.csv")
    table.assign(gender=range(200)).to_csv(tmp_path / "many.csv", index=False)
    with pytest.raises(ValueError, match="gender has 200 values, it must have two"):
        biographies.read_biographies(tmp_path / "many.csv")
    with pytest.raises(ValueError, match="200 biographies are too few"):
        biographies.prepare_splits(table, 50, 100, 24)


def test_parts_are_disjoint_and_all_is_used(data) -> None:
    sizes = [len(part.ids_NT) for part in data[:4]]
    assert sizes == [140, 60, 50, 50]
    assert int(data.train.ids_NT.max()) < data.vocabulary


@pytest.mark.parametrize("linear", [True, False])
def test_the_adversarys_part_is_exact_for_the_encoder_too(data, model, linear: bool) -> None:
    """Along a random direction of all weights, in float64."""
    model = model.double()
    adversary = Adversary(model, Defence(linear=linear), seed=0)
    measured = adversary.linear if linear else adversary.loss
    start = {name: p.detach() for name, p in trained_parameters(model).items()}
    generator = torch.Generator().manual_seed(1)
    way = {n: torch.randn(w.shape, generator=generator).double() for n, w in start.items()}

    def found(scale: float):
        return adapted(
            {name: weight + scale * way[name] for name, weight in start.items()},
            torch.tensor(1e-3, dtype=torch.float64),
            lambda weights, step: adversary.loss.at(
                weights, data.train.ids_NT[:6], data.train.attribute_N[:6], "attribute"
            ),
            lambda weights: measured.at(
                weights, data.test.ids_NT[:40], data.test.attribute_N[:40], "attribute"
            ),
            steps=2,
            clip=100.0,
        )

    slope = (found(1e-6).values.mean() - found(-1e-6).values.mean()) / 2e-6
    exact = sum((g * way[name]).sum() for name, g in found(0).gradient.items())
    assert float(exact) == pytest.approx(float(slope), rel=1e-3)


def test_a_defence_changes_what_is_released_and_learns_an_adversary(data, model) -> None:
    plain, guarded, random = (copy.deepcopy(model) for _ in range(3))
    defender.train(plain, data.train, TINY.outer, 3)
    log = defender.train(guarded, data.train, TINY.outer, 3, TINY.defence)
    defender.train(random, data.train, TINY.outer, 3, TINY.defence._replace(head="random"))
    heads = [m.get_parameter(defender.BAD_HEAD) for m in (model, plain, guarded, random)]
    assert torch.equal(heads[0], heads[1])  # nobody trained it
    assert not torch.equal(heads[0], heads[2])
    assert torch.equal(heads[0], heads[3])
    weights = [m.encoder.pooler.dense.weight for m in (plain, guarded, random)]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert len(log) == 3
    assert log[0]["adversary_rate"] == pytest.approx(3e-4)


def test_an_attack_works_on_a_copy_and_keeps_frozen_layers(data, model, monkeypatch) -> None:
    before = copy.deepcopy(model.state_dict())
    attacked = []
    whole = attacker.accuracy
    monkeypatch.setattr(attacker, "accuracy", lambda m, *a: attacked.append(m) or whole(m, *a))
    found = attacker.attack(model, data.attackers.take(range(16)), VALUES, data.test, 0)
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    assert 0.3 < found <= 1
    after = attacked[-1].state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in same if "encoder.encoder." in name} == {
        name for name in before if "encoder.encoder." in name
    }
    assert "encoder.pooler.dense.weight" not in same
    again = attacker.attack(model, data.attackers.take(range(16)), VALUES, data.test, 0)
    assert again == found


def test_a_search_stops_without_gain(data, model, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    monkeypatch.setattr(attacker, "attack", lambda *a: next(scores))
    budget = Budget(trials=50, patience=2)
    attacker.search_settings(model, data, 20, budget, 0)
    assert next(scores) == 0.9  # four trials: no gain in the last two


def test_examples_needed_for_an_accuracy() -> None:
    outcomes = [Outcome(n, s, a + s / 10, {}) for n, a in ((20, 0.5), (50, 0.7)) for s in (0, 1)]
    assert [attacker.examples_needed(outcomes, level) for level in (0.55, 0.6, 0.8)] == [
        20,
        50,
        None,
    ]


def test_the_whole_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = experiment.run(TINY, tmp_path, seed=11)
    assert list(found["encoder"]) == ["random", "pretrained", "profession", "ac", "mlac"]
    assert found[["profession", "attribute_8", "attribute_16"]].stack().between(0, 1).all()
    attacks = pd.read_csv(tmp_path / "attacks.csv")
    assert len(attacks) == 5 * 2 * 2
    means = attacks.groupby(["encoder", "shots"])["accuracy"].mean()
    for _, row in found.iterrows():
        assert means[row["encoder"], 8] == pytest.approx(row["attribute_8"])
    assert (tmp_path / "few_shot.png").stat().st_size > 1000
    assert pd.read_csv(tmp_path / "table.csv").shape == found.shape
    assert "mlac: attacked" in capsys.readouterr().out


def test_a_users_encoder_is_taken_with_its_tokenizer(tmp_path: Path) -> None:
    saved, tokenizer = encoder.build_encoder(94, 3, 24, seed=5), tiny_tokenizer()
    saved.encoder.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, found = encoder.load_encoder(str(tmp_path), 3, seed=1)
    ids = torch.tensor([found.encode("w1 w2 w3")])
    assert ids.tolist() == [tokenizer.encode("w1 w2 w3")]
    outputs = [m.train().encoder(input_ids=ids).pooler_output for m in (saved, loaded)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)  # no dropout
    assert loaded.encoder.config._attn_implementation == "eager"
