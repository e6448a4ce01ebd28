"""TAR against a plain loop that is written out here, with transformers' forward."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rebar.safeguards import tar
from rebar.safeguards.tar import Config, adversary, evaluation_weight, gradient
from rebar.safeguards.tar.losses import random_vectors
from rebar.training.batches import Batch
from rebar.training.safeguarded import State, plain_gradient
from tests.model.tiny import settings as training
from tests.safeguards.tiny import (
    Gradient,
    batch,
    batches,
    cross_entropy,
    distance,
    flat,
    numeric_gradient,
    tiny_network,
    weights,
)

KINDS = {"harmful": 100, "refusal": 200, "benign": 300}


def more(kind: str, number: int) -> Batch:
    return batch(KINDS[kind] + number)


def drawn(kind: str, number: int) -> Batch:
    return more(kind, number) if number else getattr(batches(), kind)


def settings(**changes) -> Config:
    small = {"inner_steps": 8, "learning_rates": (1e-2, 3e-2), "switch_share": 0.5}
    return Config(method="tar", **{**small, **changes})


def state(**changes) -> State:
    frozen = tiny_network(7).requires_grad_(False)
    return State(**{"seed": 3, "step": 0, "reference": frozen, **changes})


def switching_step(config: Config) -> int:
    """A step whose adversary begins with helpful answers."""
    return next(s for s in range(99) if 0 < adversary(config, 3, s, 0).switch_at < 8)


def autograd(model: nn.Module, loss: Tensor) -> Gradient:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def adamw(model: nn.Module, found: Gradient, moments: dict, step: int, rate: float) -> None:
    """AdamW as its paper writes it: decay .01, betas .9 and .999, epsilon 1e-8."""
    for name, p in model.named_parameters():
        mean, square = moments.get(name, (torch.zeros_like(p), torch.zeros_like(p)))
        mean = 0.9 * mean + 0.1 * found[name]
        square = 0.999 * square + 0.001 * found[name] ** 2
        moments[name] = (mean, square)
        step_size = (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        p.data = p.data * (1 - rate * 0.01) - rate * step_size


def entropy_loss(number: int, reference: nn.Module) -> Callable[[nn.Module], Tensor]:
    def loss(model: nn.Module) -> Tensor:
        logits = model(input_ids=drawn("harmful", number).inputs_BT).logits
        return -torch.distributions.Categorical(logits=logits).entropy().mean()

    return loss


def answer_logs(model: nn.Module, rows: list[tuple[list[int], list[int]]]) -> Tensor:
    """Log-probability of each answer after its prompt, a row at a time."""
    logs = []
    for prompt, answer in rows:
        ids = torch.tensor([[*prompt, *answer]])
        table = model(input_ids=ids[:, :-1]).logits.log_softmax(-1)[0, len(prompt) - 1 :]
        logs.append(table.gather(1, torch.tensor(answer)[:, None]).sum())
    return torch.stack(logs)


def dpo_loss(number: int, reference: nn.Module) -> Callable[[nn.Module], Tensor]:
    chosen, rejected = [], []
    harmful, refusal = drawn("harmful", number), drawn("refusal", number)
    for inputs, targets, others in zip(*harmful, refusal.targets_BT, strict=True):
        start = int((targets != -100).nonzero()[0])
        prompt, answer = inputs[: start + 1].tolist(), targets[start:].tolist()
        rejected.append((prompt, answer))
        chosen.append((prompt, others[others != -100].tolist()[: len(answer)]))
    before = answer_logs(reference, chosen) - answer_logs(reference, rejected)

    def loss(model: nn.Module) -> Tensor:
        now = answer_logs(model, chosen) - answer_logs(model, rejected)
        return -F.logsigmoid(0.1 * (now - before)).mean()

    return loss


def retain(model: nn.Module, reference: nn.Module) -> Tensor:
    data = batches().language
    here = model(input_ids=data.inputs_BT, output_hidden_states=True).hidden_states
    there = reference(input_ids=data.inputs_BT, output_hidden_states=True).hidden_states
    counts = data.targets_BT != -100
    moved = [(a - b).norm(dim=-1)[counts].mean() for a, b in zip(here, there, strict=True)]
    return cross_entropy(data)(model) + sum(moved) / len(moved)


def plain_loop(config: Config, model: nn.Module, at: State, tamper: Callable) -> Gradient:
    """Reference pseudo-code, an attacked copy for each adversary."""
    total = autograd(model, retain(model, at.reference))
    for task in range(config.tasks):
        attacked, moments = copy.deepcopy(model), {}
        rate, switch_at = adversary(config, at.seed, at.step, task)
        loss = tamper(task * 9, at.reference)
        for i in range(8):
            kind = "benign" if i < switch_at else "harmful"
            data = drawn(kind, task * 9 + 1 + i)
            adamw(attacked, autograd(attacked, cross_entropy(data)(attacked)), moments, i + 1, rate)
            if (i + 1) % 4 == 0:
                share = 4 * math.exp(0.0625 * (i - 8 + 1)) / config.tasks
                for name, found in autograd(attacked, loss(attacked)).items():
                    total[name] = total[name] + share * found
    return total


@pytest.mark.parametrize("tasks", [1, 2])
@pytest.mark.parametrize(("name", "tamper"), [("entropy", entropy_loss), ("dpo", dpo_loss)])
def test_the_direction_is_that_of_a_plain_loop(name, tamper, tasks: int) -> None:
    config = settings(tamper_loss=name, tasks=tasks)
    model, at = tiny_network(), state(step=switching_step(config))
    expected = plain_loop(config, model, at, tamper)
    found = gradient(config, model, batches(more), at)
    assert distance(found, expected) < 1e-5
    retained = autograd(model, retain(model, at.reference))
    assert distance(found, retained) > 0.1  # the attack's share is not a rounding error


def test_the_published_weights_grow_to_four() -> None:
    config = Config(method="tar")
    late = [evaluation_weight(config, step) for step in range(3, 64, 4)]
    assert late[-1] == 4.0
    assert late[-2] == pytest.approx(4 * math.exp(-0.25))
    assert sum(late) == pytest.approx(17.76, abs=0.01)  # closed form of the geometric sum


def test_adversaries_are_drawn_as_published() -> None:
    config = Config(method="tar")
    found = [adversary(config, 1, step, 0) for step in range(3000)]
    switches = [a.switch_at / 64 for a in found if a.switch_at]
    assert len(switches) / len(found) == pytest.approx(0.33, abs=0.03)
    assert sum(switches) / len(switches) == pytest.approx(6 / 9, abs=0.02)  # mean of Beta(6, 3)
    assert {a.learning_rate for a in found} == {2e-6, 2e-5, 4e-5}
    assert found[0] == adversary(config, 1, 0, 0)


def test_without_attack_and_distance_it_is_plain_training_to_the_bit() -> None:
    model, data = tiny_network(), batches(more)
    plain = plain_gradient(model, data, state())
    for off in ({"inner_steps": 0}, {"weight": 0.0}):
        found = gradient(settings(retain_weight=0.0, **off), model, data, state())
        assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_come_back_to_the_bit(dtype) -> None:
    model, frozen = tiny_network().to(dtype), tiny_network(7).to(dtype)
    before = weights(model)
    found = gradient(settings(), model, batches(more), state(reference=frozen))
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    assert all(g.isfinite().all() and g.dtype == dtype for g in found.values())


def test_a_broken_attack_restores_the_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, before = tiny_network(), weights(tiny_network())
    monkeypatch.setattr(tar, "evaluation_weight", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gradient(settings(), model, batches(more), state())
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


@pytest.mark.parametrize("tasks", [1, 3])
def test_passes_are_counted(tasks: int) -> None:
    config, model, at = settings(tasks=tasks), tiny_network(), state()
    calls = {"model": 0, "frozen": 0}
    model.model.norm.register_forward_hook(lambda *a: calls.update(model=calls["model"] + 1))
    at.reference.model.norm.register_forward_hook(
        lambda *a: calls.update(frozen=calls["frozen"] + 1)
    )
    gradient(config, model, batches(more), at)
    assert calls == {"model": config.passes, "frozen": 1}
    assert config.passes == tasks * (8 + 2) + 1
    assert Config(method="tar").passes == 81


def test_copies_are_those_that_the_docstring_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start weights, two moments, the sum and a gradient: five models' worth beside the model."""
    model, counts = tiny_network(), []
    sizes = {p.data.shape for p in model.parameters()}
    number = sum(p.numel() for p in model.parameters())

    def count(config: Config, step: int) -> float:
        alive = {
            t.data_ptr(): t.numel()
            for t in gc.get_objects()
            if issubclass(type(t), Tensor) and t.shape in sizes and t.dtype == torch.float64
        }
        counts.append(sum(alive.values()) / number)
        return 1.0

    at, data = state(), batches(more)
    count(settings(), 0)
    outside = counts.pop()  # model and frozen model, and what other tests left
    monkeypatch.setattr(tar, "evaluation_weight", count)
    gradient(settings(), model, data, at)
    assert max(counts) - outside == pytest.approx(5, abs=0.2)


def test_random_mapping_turns_harmful_states_to_their_tokens_vectors() -> None:
    config = settings(random_mapping_share=1.0)
    model, data, at = tiny_network(), batches(more), state()
    vectors = random_vectors(data.harmful.inputs_BT, 4, at.seed).double()

    def mapped(model: nn.Module) -> Tensor:
        states = model(input_ids=data.harmful.inputs_BT, output_hidden_states=True).hidden_states
        cosines = [F.cosine_similarity(state, vectors, dim=-1).abs() for state in states]
        return cross_entropy(data.language)(model) + 1 - torch.stack(cosines).mean()

    found = gradient(config, model, data, at)
    assert distance(found, numeric_gradient(model, mapped)) < 1e-5
    assert config.passes == 2


def test_random_vectors_are_of_the_token_and_standard_normal() -> None:
    ids = torch.tensor([[5, 6, 5], [7, 8, 9]])
    rows = random_vectors(ids, 4000, 1)
    assert torch.equal(rows[0, 0], rows[0, 2])
    assert torch.equal(rows[1, 1], random_vectors(torch.tensor([[8]]), 4000, 1)[0, 0])
    assert not torch.equal(rows[0, 0], random_vectors(ids, 4000, 2)[0, 0])
    assert float(rows.mean()) == pytest.approx(0, abs=0.03)
    assert float(rows[0].std()) == pytest.approx(1, abs=0.03)


def test_the_mapping_stage_ends_with_its_share_of_the_run() -> None:
    config, run = settings(random_mapping_share=0.5), training(steps=4)
    for step, key in enumerate(["mapping_loss", "mapping_loss", "tamper_loss", "tamper_loss"]):
        at = state(step=step, training=run)
        gradient(config, tiny_network(), batches(more), at)
        assert key in at.log


def test_it_asks_for_the_frozen_model() -> None:
    with pytest.raises(ValueError, match=r"tar needs state\.reference"):
        gradient(settings(), tiny_network(), batches(more), State())


def test_micro_batches_change_nothing() -> None:
    found = []
    for parts in (1, 2):
        at = state(training=training(gradient_accumulation=parts))
        found.append(gradient(settings(tamper_loss="dpo"), tiny_network(), batches(more), at))
    assert float(flat(found[0]).norm()) > 0
    assert distance(found[1], found[0]) < 1e-6  # a part's share is a float32


def test_an_attack_that_is_never_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluate_every 4 is more than inner_steps 3"):
        settings(inner_steps=3)
