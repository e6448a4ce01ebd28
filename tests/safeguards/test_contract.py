"""What holds for every safeguard: passes, exact restore, plain at strength 0, resume, processes.

And that it draws from no generator but its own, and that parts of a batch add up to it.

A new file of the folder comes here by itself; what its Config needs stands in `runs.NEEDED`.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rebar.config.plugins import plugin_module
from rebar.runtime.launch import environment
from rebar.training.safeguarded import Batches, State, plain_gradient
from rebar.training.train import train
from tests.conftest import ROOT
from tests.model.tiny import recorder, settings, tiny_llama
from tests.safeguards import runs
from tests.safeguards.tiny import distance, plus, weights

every_method = pytest.mark.parametrize("method", runs.METHODS)
# Relative, of what 8 steps change in the weights, and of the memory; sums have another order.
# Measured: up to 2e-6 (SEAM).
TOLERANCE = 1e-5
PARTS_TOLERANCE = 1e-5  # relative, of a direction; measured: up to 1.2e-6 (SEAM)


def batches(step: int = 0) -> Batches:
    kinds = {kind: runs.more(step, kind, 0) for kind in runs.KINDS}
    return Batches(runs.batch_at(step), **kinds, batch_of=lambda kind, n: runs.more(step, kind, n))


def direction(method: str, model: Any, state: State | None = None) -> dict[str, torch.Tensor]:
    one = runs.part(runs.config(method), model)
    if state is not None:
        one.state.memory = state.memory
    return one.gradient(one.config, model, batches(), one.state)


@every_method
def test_a_file_names_its_places_and_its_passes(method: str) -> None:
    module = plugin_module("safeguards", method)
    assert set(module.Config.places) <= {"pretraining", "alignment", "own_stage"}
    assert module.Config.places
    assert runs.config(method).passes >= 1
    assert module.Config.model_fields["method"].annotation.__args__ == (method,)


@every_method
def test_a_hook_counts_the_passes_that_a_config_tells(method: str) -> None:
    model, count = tiny_llama(deviation=0.1).train(), 0

    def note(*_: Any) -> None:
        nonlocal count
        count += 1

    one = runs.part(runs.config(method), model)
    model.get_input_embeddings().register_forward_hook(note)
    one.state.training = settings(steps=runs.STEPS)
    for one.state.step in range(runs.STEPS):
        one.state.shared = {}
        one.gradient(one.config, model, batches(one.state.step), one.state)
    assert count == one.config.passes * runs.STEPS


@every_method
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_weights_are_restored_to_the_bit(method: str, precision: torch.dtype) -> None:
    model = tiny_llama(deviation=0.1).to(precision).train()
    before = weights(model)
    found = direction(method, model)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name
        assert parameter.grad is None
        assert found[name].isfinite().all()
        assert found[name].shape == parameter.shape


def directions(method: str, **training: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Those of all steps, at weights that stay: every term of the method acts in one of them."""
    model = tiny_llama(deviation=0.1).train()
    one = runs.part(runs.config(method), model)
    one.state.training = settings(steps=runs.STEPS, **training)
    for one.state.step in range(runs.STEPS):
        one.state.shared = {}
        yield one.gradient(one.config, model, batches(one.state.step), one.state)


def generator_states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), *rest), random.getstate()


@every_method
def test_the_shared_generators_are_left_as_they_were(method: str) -> None:
    steps = directions(method)
    for _ in range(runs.STEPS):
        before = generator_states()
        next(steps)
        assert generator_states() == before


@every_method
def test_parts_of_a_batch_add_up_to_the_direction(method: str) -> None:
    cut = directions(method, gradient_accumulation=2)
    distances = [distance(*pair) for pair in zip(cut, directions(method), strict=True)]
    assert max(distances) < PARTS_TOLERANCE


@every_method
def test_it_is_another_direction_and_the_same_one_again(method: str) -> None:
    model = tiny_llama(deviation=0.1).train()
    first, second = direction(method, model), direction(method, model)
    plain = plain_gradient(model, batches(), State())
    assert distance(first, plain) > 1e-4
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])


@every_method
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_strength_zero_is_plain_training_to_the_bit(
    tmp_path: Path, method: str, optimizer: str
) -> None:
    guarded, _ = runs.run(tmp_path / "guarded", method, strength=0.0, optimizer=optimizer)
    plain, plan = tiny_llama(deviation=0.1), settings(steps=runs.STEPS, optimizer=optimizer)
    (tmp_path / "plain").mkdir()
    train(plain, runs.batch_at, plan, recorder(tmp_path / "plain"))
    for (name, one), other in zip(guarded.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other), name


class Killed(Exception):
    """Ends a run in the middle."""


@every_method
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, method: str) -> None:
    whole, guard = runs.run(tmp_path / "whole", method, checkpoint_every_steps=3)

    def fails_later(step: int) -> Any:
        # Twice at the start, for the fingerprint, the last step's batch is read, too.
        if step == 7 and (tmp_path / "cut/step-000000006.safetensors").exists():
            raise Killed
        return runs.batch_at(step)

    with pytest.raises(Killed):
        runs.run(tmp_path / "cut", method, batches=fails_later, checkpoint_every_steps=3)
    resumed, again = runs.run(tmp_path / "cut", method, checkpoint_every_steps=3)
    for (name, one), other in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert guard.memory().keys() == again.memory().keys()
    assert all(torch.equal(guard.memory()[key], n) for key, n in again.memory().items())
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


@every_method
def test_a_step_that_fails_leaves_the_memory_as_it_was(method: str) -> None:
    model = tiny_llama(deviation=0.1).train()
    guard = runs.safeguarded(model, runs.config(method), runs.config("sam"))
    later = guard.parts[1]._replace(gradient=lambda *_: 1 / 0)
    guard.parts = [guard.parts[0], later]
    plan = settings(steps=runs.STEPS)
    with pytest.raises(ZeroDivisionError):
        guard.set_gradients(model, runs.batch_at(0), plan, later.state.loss, 0)
    assert guard.parts[0].state.memory == {}


@every_method
def test_parts_add_what_they_change(method: str) -> None:
    """direction = plain + strength x sum of (part - plain), with SAM as the other part."""
    model = tiny_llama(deviation=0.1).train()
    guard = runs.safeguarded(model, runs.config(method), runs.config("sam"), strength=0.3)
    loss = State().loss
    guard.set_gradients(model, runs.batch_at(0), settings(steps=runs.STEPS), loss, 0)
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    plain = plain_gradient(model, batches(), State())
    parts = [own_direction(name, model) for name in (method, "sam")]
    expected = plus((1 - 2 * 0.3, plain), (0.3, parts[0]), (0.3, parts[1]))
    assert distance(found, expected) < 1e-5


def own_direction(method: str, model: Any) -> dict[str, torch.Tensor]:
    one = runs.part(runs.config(method), model)
    one.state.training = settings(steps=runs.STEPS)
    return one.gradient(one.config, model, batches(), one.state)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    run = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1", "--nproc-per-node=2"]
    run += ["--standalone", "--local-addr=127.0.0.1", "-m", "tests.safeguards.runs", str(root)]
    paths = {"PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    subprocess.run(run, cwd=ROOT, env=environment() | paths, check=True)
    return root


@every_method
def test_two_processes_are_one(shared: Path, tmp_path: Path, method: str) -> None:
    runs.save(*runs.run(tmp_path, method), tmp_path / "end")
    ends = [load_file(shared / method / is_first / "end") for is_first in ("True", "False")]
    one = load_file(tmp_path / "end")
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    start = {f"model.{name}": tensor for name, tensor in weights(runs.start()).items()}
    moved = [{name: end[name] - start[name] for name in start} for end in (ends[0], one)]
    assert distance(*moved) < TOLERANCE
    for name in one.keys() - start.keys():
        torch.testing.assert_close(ends[0][name], one[name], rtol=TOLERANCE, atol=TOLERANCE)
