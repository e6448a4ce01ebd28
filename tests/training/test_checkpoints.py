import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rebar.training.batches import row_batches
from rebar.training.checkpoints import (
    checkpoint_files,
    fingerprint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from rebar.training.train import build_optimizer, train
from tests.model.tiny import recorder, rows, settings, tiny_llama
from tests.training.killed_run import run

ROOT = Path(__file__).parents[2]


def start(folder: Path, moment: str) -> int:
    command = [sys.executable, "-m", "tests.training.killed_run", str(folder), moment]
    paths = os.pathsep.join([str(ROOT / "workflow"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    model, result = run(whole, "never")
    assert (result.steps, result.resumed_at) == (17, 0)
    for moment, left in [("step", 6), ("before rename", 9), ("after rename", 12)]:
        assert start(killed, moment) == -signal.SIGKILL
        assert checkpoint_files(killed)[-1].name == f"step-{left:09d}.safetensors"
    assert start(killed, "never") == 0
    with safe_open(killed / "end", framework="pt") as end:
        assert end.metadata() == {"resumed_at": "12"}
    tensors = load_file(killed / "end")
    for name, parameter in model.named_parameters():
        assert torch.equal(tensors[name], parameter), name
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    names = {path.name for path in checkpoint_files(killed)}
    assert names == {"step-000000012.safetensors", "step-000000015.safetensors"}


def test_state_comes_back_whole(tmp_path: Path) -> None:
    model, other = tiny_llama(0), tiny_llama(1)
    optimizer, other_optimizer = (build_optimizer(m, settings()) for m in (model, other))
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    torch.manual_seed(4)
    waiting = torch.rand(3, 2)
    save_checkpoint(tmp_path, 5, model, optimizer, "run", waiting)
    expected = torch.rand(3)
    assert newest_checkpoint(tmp_path, "run") == 5
    loaded_waiting, _ = load_checkpoint(tmp_path, 5, other, other_optimizer)
    assert loaded_waiting is not None and torch.equal(loaded_waiting, waiting)
    assert torch.equal(torch.rand(3), expected)
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    for parameter, loaded in pairs:
        assert torch.equal(parameter, loaded)
        state, loaded_state = optimizer.state[parameter], other_optimizer.state[loaded]
        assert set(state) == set(loaded_state) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(state[key], loaded_state[key]) for key in state)


def test_the_last_two_are_kept_and_nothing_else(tmp_path: Path) -> None:
    model = tiny_llama()
    optimizer = build_optimizer(model, settings())
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, step, model, optimizer, "run")
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000002.safetensors",
        "step-000000010.safetensors",
    ]


@pytest.mark.parametrize("change", ["learning_rate", "weights", "data", "identity", "nothing"])
def test_another_run_is_never_resumed(tmp_path: Path, change: str) -> None:
    def resumed_at(*, learning_rate=1e-2, seed=0, data_seed=5, identity="") -> int:
        return train(
            tiny_llama(seed),
            row_batches(*rows(seed=data_seed), batch_size=4, seed=0),
            settings(steps=3, checkpoint_every_steps=2, learning_rate=learning_rate),
            recorder(tmp_path),
            checkpoint_folder=tmp_path,
            identity=identity,
        ).resumed_at

    assert resumed_at() == 0
    changes = {
        "learning_rate": {"learning_rate": 2e-2},
        "weights": {"seed": 1},
        "data": {"data_seed": 6},
        "identity": {"identity": "beta 0.2"},
        "nothing": {},
    }
    assert resumed_at(**changes[change]) == (2 if change == "nothing" else 0)
    assert len(checkpoint_files(tmp_path)) == 1


def test_fingerprint_sees_every_part() -> None:
    model = tiny_llama()
    first = fingerprint(model, "a", torch.tensor([1, 2]))
    assert first == fingerprint(model, "a", torch.tensor([1, 2]))
    assert first != fingerprint(model, "b", torch.tensor([1, 2]))
    assert first != fingerprint(model, "a", torch.tensor([1, 3]))
