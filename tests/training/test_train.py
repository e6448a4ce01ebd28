import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from rebar.model.forward import language_loss
from rebar.training.batches import Batch, row_batches
from rebar.training.gradients import add_gradients
from rebar.training.train import _Clock, build_optimizer, learning_rate, train, update
from tests.model.tiny import recorder, rows, settings, tiny_llama


def batch_at(step: int) -> Batch:
    return row_batches(*rows(), batch_size=4, seed=3)(step)


def read_metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_learning_rate_warms_up_and_falls_to_the_floor() -> None:
    plan = settings(
        steps=10, learning_rate=2.0, warmup_fraction=0.4, final_learning_rate_fraction=0.1
    )
    rates = [learning_rate(step, plan) for step in range(10)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert rates[6] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert rates[9] == pytest.approx(0.2)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_a_schedule_without_room_for_a_fall_works() -> None:
    assert learning_rate(0, settings(steps=1, learning_rate=3.0)) == 3.0
    whole = settings(steps=4, learning_rate=2.0, warmup_fraction=1.0)
    assert [learning_rate(step, whole) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]


def test_a_linear_and_a_constant_schedule() -> None:
    plan = {"steps": 10, "learning_rate": 2.0, "warmup_fraction": 0.2}
    linear = settings(**plan, schedule="linear", final_learning_rate_fraction=0.2)
    rates = [learning_rate(step, linear) for step in range(10)]
    assert rates == pytest.approx([1.0, 2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4])
    constant = settings(**plan, schedule="constant")
    assert [learning_rate(step, constant) for step in range(10)] == [1.0] + [2.0] * 9


def test_sgd_with_momentum_equals_its_formula(tmp_path: Path) -> None:
    plan = settings(steps=5, optimizer="sgd", momentum=0.5, gradient_clip=1e9)
    model, mirror = tiny_llama(deviation=0.1), tiny_llama(deviation=0.1)
    train(model, batch_at, plan, recorder(tmp_path))
    velocities = {name: torch.zeros_like(p) for name, p in mirror.named_parameters()}
    for step in range(5):
        mirror.zero_grad()
        language_loss(mirror, *batch_at(step)).backward()
        for name, p in mirror.named_parameters():
            decay = plan.weight_decay if p.dim() > 1 else 0.0
            velocities[name] = 0.5 * velocities[name] + p.grad + decay * p.detach()
            p.data -= learning_rate(step, plan) * velocities[name]
    for ours, theirs in zip(model.parameters(), mirror.parameters(), strict=True):
        assert (ours - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_goes_on_with_the_same_bits(tmp_path: Path, momentum: float) -> None:
    plan = settings(steps=6, checkpoint_every_steps=4, optimizer="sgd", momentum=momentum)
    whole, resumed = tiny_llama(), tiny_llama()
    train(whole, batch_at, plan, recorder(tmp_path), checkpoint_folder=tmp_path)
    result = train(resumed, batch_at, plan, recorder(tmp_path), checkpoint_folder=tmp_path)
    assert result.resumed_at == 4
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_equals_a_loop_written_by_hand(tmp_path: Path) -> None:
    plan = settings(steps=6, gradient_clip=0.5)
    model, mirror = tiny_llama(deviation=0.1), tiny_llama(deviation=0.1)
    train(model, batch_at, plan, recorder(tmp_path))
    first, second = plan.betas
    moments = {
        name: [torch.zeros_like(p), torch.zeros_like(p)] for name, p in mirror.named_parameters()
    }
    for step in range(6):
        mirror.zero_grad()
        inputs, targets = batch_at(step)
        logits = mirror(input_ids=inputs).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in mirror.parameters()))
        assert norm > 0.5  # the clip is at work
        rate = learning_rate(step, plan)
        for name, p in mirror.named_parameters():
            gradient = p.grad * 0.5 / norm
            mean, square = moments[name]
            mean.mul_(first).add_(gradient, alpha=1 - first)
            square.mul_(second).add_(gradient**2, alpha=1 - second)
            decay = plan.weight_decay if p.dim() > 1 else 0.0
            direction = (mean / (1 - first ** (step + 1))) / (
                (square / (1 - second ** (step + 1))).sqrt() + 1e-8
            )
            p.data -= rate * (direction + decay * p.data)
    for (name, ours), theirs in zip(model.named_parameters(), mirror.parameters(), strict=True):
        assert (ours - theirs).abs().max() < 2e-4, name


def test_a_run_repeats_and_learns(tmp_path: Path) -> None:
    plan = settings(steps=60, precision="bf16")
    models = [tiny_llama(deviation=0.1) for _ in range(2)]
    results = [train(model, batch_at, plan, recorder(tmp_path)) for model in models]
    assert results[0].loss == results[1].loss
    pairs = zip(models[0].parameters(), models[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    metrics = read_metrics(tmp_path)
    assert metrics[0]["loss"] > 2 > 1 > metrics[-1]["loss"]
    assert not models[0].training


def test_metrics_are_means_of_ten_steps_and_of_the_rest(tmp_path: Path) -> None:
    losses = []

    def loss(model, inputs, targets):
        value = language_loss(model, inputs, targets)
        losses.append(float(value.detach()))
        return value

    plan = settings(steps=25)
    result = train(tiny_llama(deviation=0.1), batch_at, plan, recorder(tmp_path), loss=loss)
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics] == [10, 20, 25]
    assert set(metrics[0]) == {"step", "loss", "gradient_norm", "learning_rate"}
    means = [sum(part) / len(part) for part in (losses[:10], losses[10:20], losses[20:])]
    assert [line["loss"] for line in metrics] == pytest.approx(means)
    assert metrics[1]["learning_rate"] == learning_rate(19, plan)
    assert result.loss == metrics[-1]["loss"]
    assert result.costs.keys() == {"train_seconds", "first_step_seconds"}
    assert result.seconds > result.first_step_seconds > 0 < result.tokens_per_second


def test_the_clock_sets_the_first_step_apart(monkeypatch) -> None:
    moments = iter([10.0, 13.0, 20.0])
    monkeypatch.setattr("rebar.training.train.time.monotonic", lambda: next(moments))
    clock = _Clock()
    clock.tick(), clock.tick(), clock.tick()
    assert clock.read(tokens_per_step=35) == (10.0, 3.0, 2 * 35 / 7)


def test_a_stranger_with_old_metrics_starts_clean(tmp_path: Path) -> None:
    recorder(tmp_path).log(3, loss=1.0)
    train(tiny_llama(), batch_at, settings(steps=2), recorder(tmp_path))
    assert [line["step"] for line in read_metrics(tmp_path)] == [2]


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(parts: int) -> None:
    models = [tiny_llama(deviation=0.1) for _ in range(2)]
    losses = [
        add_gradients(model, batch_at(0), settings(gradient_accumulation=count), language_loss)
        for model, count in zip(models, (1, parts), strict=True)
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-6)
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert (ours.grad - theirs.grad).abs().max() < 1e-6


def test_update_returns_the_norm_before_the_clip_and_clears_gradients() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    holder = torch.nn.ParameterList([parameter])
    optimizer = build_optimizer(holder, settings())
    parameter.grad = torch.full((4,), 5.0)
    assert float(update(optimizer, 0.25, 1.0)) == 10.0
    assert parameter.grad is None
    assert parameter.detach() == pytest.approx([-0.25] * 4)


def test_matrices_decay_and_vectors_do_not() -> None:
    model = tiny_llama()
    groups = build_optimizer(model, settings(weight_decay=0.3)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert [{p.dim() for p in group["params"]} for group in groups] == [{2}, {1}]
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_diverging_is_an_error_that_names_the_step(tmp_path: Path) -> None:
    plan = settings(learning_rate=1e30, warmup_fraction=0.0)
    with pytest.raises(ValueError, match=r"not finite at step 2 of 12.*Lower learning_rate"):
        train(tiny_llama(), batch_at, plan, recorder(tmp_path))


def test_a_broken_gradient_is_an_error_even_with_a_finite_loss(tmp_path: Path) -> None:
    def loss(model, inputs, targets):
        value = language_loss(model, inputs, targets)
        return value + (value - value.detach()).clamp(min=0).sqrt()  # slope infinite at 0

    with pytest.raises(ValueError, match=r"not finite at step 1 of 12: loss \d"):
        train(tiny_llama(), batch_at, settings(), recorder(tmp_path), loss=loss)


def test_nothing_to_learn_is_an_error(tmp_path: Path) -> None:
    def empty(step: int) -> Batch:
        return Batch(batch_at(step).inputs_BT, torch.full((4, 8), -100))

    with pytest.raises(ValueError, match="at step 1 of 12"):
        train(tiny_llama(), empty, settings(), recorder(tmp_path))


def test_no_checkpoint_of_a_broken_model(tmp_path: Path) -> None:
    plan = settings(learning_rate=1e30, warmup_fraction=0.0, checkpoint_every_steps=2)
    with pytest.raises(ValueError, match="not finite"):
        train(tiny_llama(), batch_at, plan, recorder(tmp_path), checkpoint_folder=tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_until_is_asked_every_so_often_and_stops(tmp_path: Path) -> None:
    asked = []

    def until(step: int, model: torch.nn.Module) -> bool:
        asked.append(step)
        model.eval()
        return step >= 6

    result = train(
        tiny_llama(), batch_at, settings(), recorder(tmp_path), until=until, until_every=3
    )
    assert asked == [3, 6]
    assert result.steps == 6
    assert [line["step"] for line in read_metrics(tmp_path)] == [6]


def test_until_does_not_change_the_run(tmp_path: Path) -> None:
    def until(step: int, model: torch.nn.Module) -> bool:
        model.eval()
        return False

    models = [tiny_llama(), tiny_llama()]
    train(models[0], batch_at, settings(steps=4), recorder(tmp_path))
    train(models[1], batch_at, settings(steps=4), recorder(tmp_path), until=until, until_every=1)
    pairs = zip(models[0].parameters(), models[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_no_steps_leave_the_model_alone(tmp_path: Path) -> None:
    model = tiny_llama()
    result = train(model, batch_at, settings(steps=0), recorder(tmp_path))
    assert (result.steps, result.tokens_per_second) == (0, 0.0)
    assert math.isnan(result.loss)
    pairs = zip(model.parameters(), tiny_llama().parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_only_adapters_train_and_resume(tmp_path: Path) -> None:
    def adapted():
        torch.manual_seed(0)
        return get_peft_model(tiny_llama(), LoraConfig(r=2, target_modules="all-linear"))

    plan = settings(steps=6, checkpoint_every_steps=4)
    whole, resumed = adapted(), adapted()
    train(whole, batch_at, plan, recorder(tmp_path), checkpoint_folder=tmp_path)
    result = train(resumed, batch_at, plan, recorder(tmp_path), checkpoint_folder=tmp_path)
    assert result.resumed_at == 4
    for (name, ours), theirs in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        if "lora_" not in name:
            assert not ours.requires_grad


class Pair(NamedTuple):
    """A batch of another kind: what preference losses use."""

    chosen_BT: Tensor
    rejected_BT: Tensor

    @property
    def weight(self) -> Tensor:
        return torch.tensor(len(self.chosen_BT))


@pytest.mark.parametrize("compiled", [False, True])
def test_any_loss_and_batch_compiled_or_not(tmp_path: Path, compiled: bool) -> None:
    strength = 2.0

    def loss(model: torch.nn.Module, *batch: Tensor) -> Tensor:
        from rebar.model.forward import causal_logits  # as plug-ins do

        chosen, rejected = (causal_logits(model, part)[:, -1, 7] for part in batch)
        return -torch.nn.functional.logsigmoid(strength * (chosen - rejected)).mean()

    def pairs(step: int) -> Pair:
        inputs, _ = batch_at(step)
        return Pair(inputs, inputs.flip(0))

    plan = settings(steps=1, compile=compiled, gradient_accumulation=2)
    model = tiny_llama(deviation=0.1)
    expected = float(loss(model, *pairs(0)).detach())
    train(model, pairs, plan, recorder(tmp_path), loss=loss)
    assert read_metrics(tmp_path)[0]["loss"] == pytest.approx(expected, abs=1e-4)


def test_compiled_and_plain_runs_agree(tmp_path: Path) -> None:
    losses = [
        train(
            tiny_llama(deviation=0.1),
            batch_at,
            settings(steps=10, compile=compiled),
            recorder(tmp_path),
        ).loss
        for compiled in (False, True)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
