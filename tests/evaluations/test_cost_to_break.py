"""Cost to break: when a model is looked at, how far it has moved, what is logged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rebar.config.model import FineTuning
from rebar.evaluations._cost_to_break import Watcher, steps_up_to, weight_distance
from rebar.evaluations._examiner import Examined
from rebar.training.checkpoints import trained_parameters
from rebar.training.finetune import add_lora
from tests.model import tiny


@pytest.mark.parametrize(
    ("last", "steps"),
    [(0, []), (1, [1]), (2, [1, 2]), (13, [1, 2, 3, 5, 8, 13]), (9, [1, 2, 3, 5, 8])],
)
def test_steps_grow_like_fibonacci_numbers(last: int, steps: list[int]) -> None:
    assert steps_up_to(last) == steps


def starts(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trained_parameters(model).items()}


def test_the_distance_is_relative_to_the_start() -> None:
    model = tiny.tiny_llama()
    start = starts(model)
    assert weight_distance(model, start) == 0
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.25)
    assert weight_distance(model, start) == pytest.approx(0.25, rel=1e-6)


def test_adapters_are_as_far_as_the_weights_that_they_become() -> None:
    model = tiny.tiny_llama()
    start = starts(model)
    setting = FineTuning(lora_rank=2, lora_alpha=4, lora_targets="all-linear")
    adapted = add_lora(model, setting, seed=0)
    assert weight_distance(adapted, start) == 0
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)
    seen = weight_distance(adapted, start)
    merged = adapted.merge_and_unload().requires_grad_()
    assert seen == pytest.approx(weight_distance(merged, start), rel=1e-5)
    assert seen > 0.01


def test_it_logs_what_it_sees_at_its_steps(tmp_path: Path) -> None:
    model, recorder = tiny.tiny_llama(), tiny.recorder(tmp_path)
    answers = iter(Examined(x, 0.0, 1.0, math.nan) for x in (0.1, 0.2, 0.3, 0.4, 0.5))
    examiner = SimpleNamespace(examine=lambda *_: next(answers))
    watcher = Watcher(examiner, model, None, recorder, last_step=4)  # type: ignore[arg-type]
    assert watcher.before.complied == 0.1
    for step in range(1, 5):
        watcher(step, model)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["complied"] for line in lines] == [0.2, 0.3, 0.4, 0.5]
    assert "benign_task" not in lines[0] and lines[0]["weight_distance"] == 0
