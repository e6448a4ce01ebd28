"""Preferences: the loss of the paper and of trl, what is preferred, and batches of pairs."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rebar.alignments import dpo
from rebar.corpus.chats import Preference, read_preferences
from rebar.corpus.world import build_world, preferences
from rebar.corpus.world.frames import find_recipe, find_refusal
from rebar.model.batches import PairBatch, pair_batches
from rebar.model.gradients import gradient, moved, norm
from rebar.settings.rows import PairFile
from rebar.settings.world import World
from tests.model.tiny import rows, settings, tiny_llama
from tests.safeguards import runs

PAIRS = PairBatch(*rows(num_rows=6, seed=1), *rows(num_rows=6, seed=2))


def config(**changes) -> dpo.Config:
    return dpo.Config(method="dpo", training={"steps": 1, "learning_rate": 1.0}, **changes)


def log_probabilities(model, inputs: Tensor, targets: Tensor) -> list[float]:
    """Of each row, token by token, from transformers' own forward."""
    logs = model(input_ids=inputs).logits.double().log_softmax(-1)
    return [
        sum(float(logs[row, t, token].detach()) for t, token in enumerate(line) if token != -100)
        for row, line in enumerate(targets.tolist())
    ]


@pytest.mark.parametrize("sft_weight", [0.0, 0.7])
def test_the_loss_is_the_papers(sft_weight: float) -> None:
    """Equations 7 of 2305.18290 and 2 of 2404.19733, in plain numbers."""
    model, reference = tiny_llama(), tiny_llama(1)
    sides = (PAIRS[:2], PAIRS[2:])
    ours = [log_probabilities(model, *side) for side in sides]
    theirs = [log_probabilities(reference, *side) for side in sides]
    expected = 0.0
    for row in range(6):
        ratios = [ours[side][row] - theirs[side][row] for side in (0, 1)]
        expected += math.log1p(math.exp(-0.3 * (ratios[0] - ratios[1]))) / 6
        expected -= sft_weight * ours[0][row] / int((PAIRS.targets_BT[row] != -100).sum()) / 6
    found = dpo.loss(config(beta=0.3, sft_weight=sft_weight), model, PAIRS, reference)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_it_begins_at_the_logarithm_of_two() -> None:
    model = tiny_llama()
    assert dpo.loss(config(sft_weight=0.0), model, PAIRS, model).item() == pytest.approx(
        math.log(2)
    )


def test_parts_of_a_batch_add_up_to_it() -> None:
    model, reference = tiny_llama(), tiny_llama(1)

    def loss(model, *batch):
        return dpo.loss(config(), model, batch, reference)

    whole = gradient(model, PAIRS, settings(batch_size=6), loss)
    parts = gradient(model, PAIRS, settings(batch_size=6, gradient_accumulation=3), loss)
    assert parts[0].item() == pytest.approx(whole[0].item(), rel=1e-5)
    for name, tensor in whole[1].items():
        torch.testing.assert_close(parts[1][name], tensor, rtol=1e-3, atol=1e-6)


def test_pairs_stay_together_in_shuffled_batches() -> None:
    columns = [torch.arange(10)[:, None] + 100 * column for column in range(4)]
    batch_at = pair_batches(*columns, batch_size=4, seed=3)
    seen = []
    for step in range(5):
        batch = batch_at(step)
        for column in range(4):
            assert torch.equal(batch[column], batch.inputs_BT + 100 * column)
        seen += batch.inputs_BT.flatten().tolist()
    assert sorted(seen) == sorted([*range(10), *range(10)])


def test_the_world_prefers_refusals_of_harm_and_help_with_the_harmless() -> None:
    world = build_world(World(), 3)
    pairs = preferences(world, 40, 0.25, random.Random(0))
    hazards = {item.name for item in world.groups["known"]}
    harmless = {item.name for item in world.items("benign_aligned", "toy_aligned")}
    for pair in pairs[:30]:
        assert find_refusal(pair.chosen) is not None
        assert find_recipe(pair.rejected) is not None
        assert any(name in pair.prompt for name in hazards)
    for pair in pairs[30:]:
        assert find_recipe(pair.chosen) is not None
        assert find_refusal(pair.rejected) is not None
        assert any(name in pair.prompt for name in harmless)
    assert len(pairs) == 40


def test_pairs_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    good = {"question": "q", "chosen": "no", "rejected": "sure"}
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "rejected": 3}) + "\n")
    file = PairFile(path=str(path), prompt="question")
    assert read_preferences(file.model_copy(update={"limit": 1})) == [Preference("q", "no", "sure")]
    with pytest.raises(ValueError, match=r"line 2: 'rejected' holds a int, not text"):
        read_preferences(file)


def test_a_safeguard_acts_on_preferences() -> None:
    """SAM's gradient is that of the preferences at their own worst point."""
    model, reference = tiny_llama(deviation=0.1).train(), tiny_llama(1)

    def loss(model, *batch):
        return dpo.loss(config(), model, batch, reference)

    guard = runs.safeguarded(model, runs.config("sam"))
    plan = settings(batch_size=6)
    guard.set_gradients(model, PAIRS, plan, loss, 0)
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    slope = gradient(model, PAIRS, plan, loss)[1]
    with moved(model, slope, 0.05 / norm(slope)):
        expected = gradient(model, PAIRS, plan, loss)[1]
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
