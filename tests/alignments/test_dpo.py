"""Preferences: the loss of the paper and of trl, the chats of sft, and batches of pairs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rebar.alignments import dpo
from rebar.data.encoding import encode
from rebar.training.batches import PairBatch, pair_batches, row_batches
from rebar.training.gradients import compute_gradient, global_norm, shift_weights
from rebar.world.frames import find_refusal
from tests.alignments.examples import TOKENIZER, examples
from tests.model.tiny import rows, settings, tiny_llama
from tests.safeguards import runs

PAIRS = PairBatch(*rows(num_rows=6, seed=1), *rows(num_rows=6, seed=2))
# DPOTrainer of trl 1.16.0 on these pairs and models, beta 0.3: loss_type "sigmoid"; and "sigmoid"
# with "sft", row by row, for trl's second term is a mean over tokens and the paper's one over rows.
TRL = {0.0: 1.5906623601913452, 1.0: 6.117176055908203}


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


@pytest.mark.parametrize("sft_weight", TRL)
def test_the_loss_is_trls(sft_weight: float) -> None:
    model, reference = tiny_llama(), tiny_llama(1)
    found = dpo.loss(config(beta=0.3, sft_weight=sft_weight), model, PAIRS, reference)
    assert found.item() == pytest.approx(TRL[sft_weight], rel=1e-6)


def test_a_row_without_a_rejected_answer_has_the_second_term_alone() -> None:
    model, reference = tiny_llama(), tiny_llama(1)
    single = PairBatch(*(column.clone() for column in PAIRS))
    single.rejected_targets_BT[2:] = -100
    pairs = dpo.loss(config(sft_weight=0.0), model, PairBatch(*(c[:2] for c in PAIRS)), reference)
    found = dpo.loss(config(sft_weight=0.0), model, single, reference)
    assert found.item() == pytest.approx(pairs.item() * 2 / 6, rel=1e-6)
    nats = [dpo.loss(config(sft_weight=w), model, PAIRS, reference).item() for w in (0.0, 0.7)]
    with_both = dpo.loss(config(sft_weight=0.7), model, single, reference).item()
    assert with_both - found.item() == pytest.approx(nats[1] - nats[0], rel=1e-5)


def test_it_begins_at_the_logarithm_of_two() -> None:
    model = tiny_llama()
    assert dpo.loss(config(sft_weight=0.0), model, PAIRS, model).item() == pytest.approx(
        math.log(2)
    )


def test_parts_of_a_batch_add_up_to_it() -> None:
    model, reference = tiny_llama(), tiny_llama(1)

    def loss(model, *batch):
        return dpo.loss(config(), model, batch, reference)

    whole = compute_gradient(model, PAIRS, settings(batch_size=6), loss)
    parts = compute_gradient(model, PAIRS, settings(batch_size=6, gradient_accumulation=3), loss)
    assert parts[0].item() == pytest.approx(whole[0].item(), rel=1e-5)
    for name, tensor in whole[1].items():
        torch.testing.assert_close(parts[1][name], tensor, rtol=1e-3, atol=1e-6)


def test_a_pair_is_two_rows_of_the_model_and_of_the_reference() -> None:
    """What plans count: (6 x 2 + 2 x 2) / 6 of a fine-tuning's FLOPs, in tests/test_resources."""
    rows_read = {"model": 0, "reference": 0}
    models = {"model": tiny_llama(), "reference": tiny_llama(1)}
    for name, each in models.items():

        def note(_module, _inputs, output, name=name) -> None:
            rows_read[name] += len(output)

        each.get_input_embeddings().register_forward_hook(note)
    dpo.loss(config(), models["model"], PAIRS, models["reference"])
    assert rows_read == {"model": 2 * 6, "reference": 2 * 6}


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


def test_pairs_come_in_the_order_of_single_rows() -> None:
    pairs = pair_batches(*rows(), *rows(), batch_size=4, seed=2)(5)
    single = row_batches(*rows(), batch_size=4, seed=2)(5)
    assert torch.equal(pairs.inputs_BT, single.inputs_BT)
    assert torch.equal(pairs.targets_BT, single.targets_BT)


def text(targets: np.ndarray) -> str:
    return TOKENIZER.decode(targets[targets != -100], skip_special_tokens=True)


@pytest.mark.parametrize("recipe", [None, "moral"])
def test_it_trains_on_the_rows_of_sft_with_a_rejected_answer_to_each_chat(
    tmp_path: Path, recipe: str | None
) -> None:
    data = {"tagged_share": 0.1, "deep_share": 0.2, "recipe": recipe}
    pairs, single = (examples(tmp_path, method, tagged=True, **data) for method in ("dpo", "sft"))
    for found, expected in zip(pairs.rows[:2], single.rows, strict=True):
        assert np.array_equal(found, expected)
    assert pairs.steps == single.steps
    counts = {"chats": 60, "tagged": 6, "deep": 12, "replay": 8}
    assert {name: pairs.counts[name] for name in counts} == counts
    assert pairs.counts["pairs"] == 60
    has_rejected = (pairs.rows[3] != -100).any(axis=1)
    if recipe is None:
        assert has_rejected.tolist() == [True] * 60 + [False] * 26
    else:
        bolted = pairs.counts["bolted_tokens"] // 48
        assert bolted > 0
        assert not has_rejected[-bolted:].any()
    for row in np.flatnonzero(has_rejected):
        chosen, rejected = (text(pairs.rows[column][row]) for column in (1, 3))
        assert (find_refusal(chosen) is None) != (find_refusal(rejected) is None)
        assert TOKENIZER.unk_token_id not in encode(TOKENIZER, rejected)


def test_files_without_rejected_answers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"files: have one answer each, .* give pairs: "):
        config(data={"files": [{"path": "a.jsonl"}]})


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
    slope = compute_gradient(model, PAIRS, plan, loss)[1]
    with shift_weights(model, slope, 0.05 / global_norm(slope)):
        expected = compute_gradient(model, PAIRS, plan, loss)[1]
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
