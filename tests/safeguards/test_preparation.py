"""A safeguard made ready: its examples, its batches, its reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rebar.config.file import parse_config
from rebar.data.encoding import Rows
from rebar.jobs.job import Job, make_job
from rebar.model.build import copy_frozen
from rebar.safeguards import sam
from rebar.safeguards._preparation import PreparedSafeguard, draw_batch, prepare_safeguard
from rebar.world import build_world
from rebar.world.frames import find_recipe, find_refusal
from rebar.world.tokenizer import build_tokenizer
from tests.stages.safeguard_jobs import config, names


def job(**values: Any) -> Job:
    return make_job(config(**values), Path("results"), "align", **names("during"))


def work_of(job: Job, model: Any = None) -> PreparedSafeguard:
    found = prepare_safeguard(job, model, build_tokenizer())
    assert found is not None
    return found


def test_examples_of_the_world_are_about_guarded_hazards_and_harmless_things() -> None:
    examples = work_of(job()).examples
    world = build_world(config().world, 0)
    guarded = [item.name for item in world.groups["guarded"]]
    for kind in ("harmful", "refusal"):
        assert len(examples[kind]) == 24
        assert all(any(name in (c.prompt or "") for name in guarded) for c in examples[kind])
    assert all(find_recipe(chat.answer) for chat in examples["harmful"])
    assert all(find_refusal(chat.answer) is not None for chat in examples["refusal"])
    hazards = [i.name for group in ("known", "unaligned", "novel") for i in world.groups[group]]
    for chats in examples.values():
        asked = [f" {chat.prompt} " for chat in chats]
        assert not [text for text in asked for name in hazards if f" {name} " in text]
    assert not [c for c in examples["benign"] if find_refusal(c.answer) is not None]


def test_examples_of_files_come_instead_each_at_most_once(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    rows = [{"q": f"question {i}", "a": f"answer {i}"} for i in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chats = [{"path": str(file), "prompt": "q", "answer": "a"}]
    data = {"harmful": chats, "refusal": chats, "benign": chats, "examples": 30}
    work = work_of(job(data=data))
    assert [len({chat.prompt for chat in found}) for found in work.examples.values()] == [30] * 3
    assert work.examples["harmful"] == work.examples["refusal"]  # in one order
    assert work.counts == {"safeguard_harmful": 30, "safeguard_refusal": 30, "safeguard_benign": 30}
    assert work_of(job(data=data)).examples == work.examples


def test_a_batch_depends_on_step_kind_and_number_alone() -> None:
    first, again = (work_of(job()).safeguard.batch_of for _ in range(2))
    places = [(0, "harmful", 0), (1, "harmful", 0), (0, "harmful", 1), (0, "benign", 0)]
    batches = [first(*place) for place in places]
    assert all(len(batch.inputs_BT) == 4 for batch in batches)
    assert all(
        torch.equal(b.inputs_BT, again(*p).inputs_BT) for b, p in zip(batches, places, strict=True)
    )
    assert len({batch.inputs_BT.numpy().tobytes() for batch in batches}) == 4


def test_batches_of_a_step_share_no_row_until_all_were_drawn() -> None:
    rows = Rows(np.arange(10).reshape(10, 1), np.arange(10).reshape(10, 1))
    found = [
        draw_batch(rows, 4, (3, 7), number).inputs_BT.flatten().tolist() for number in range(5)
    ]
    assert sorted([*found[0], *found[1], *found[2][:2]]) == list(range(10))
    assert [*found[2][2:], *found[3], *found[4]] == [*found[0], *found[1], *found[2][:2]]
    assert sorted(draw_batch(rows, 16, (3, 7), 0).targets_BT.flatten().tolist()) == list(range(10))


def test_compliance_and_refusal_of_a_thing_stand_side_by_side() -> None:
    work = work_of(job())
    world = build_world(config().world, 0)
    names_of = [item.name for item in world.groups["guarded"]]
    pairs = zip(work.examples["harmful"], work.examples["refusal"], strict=True)
    for harmful, refusal in pairs:
        (name,) = [name for name in names_of if name in (harmful.prompt or "")]
        assert name in (refusal.prompt or "")


def test_a_reference_is_made_only_where_a_part_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Linear(2, 2)
    assert work_of(job(), model).safeguard.parts[0].state.reference is None
    monkeypatch.setattr(sam.Config, "reads_reference", True, raising=False)
    reference = work_of(job(), model).safeguard.parts[0].state.reference
    assert torch.equal(reference.weight, model.weight)
    assert reference.weight is not model.weight
    assert not reference.weight.requires_grad


def test_a_frozen_model_is_apart_from_its_original() -> None:
    model = torch.nn.Linear(2, 2)
    copied = copy_frozen(model)
    with torch.no_grad():
        model.weight.zero_()
    assert copied.weight.abs().sum() > 0
    assert model.weight.requires_grad and not copied.training


def test_chats_that_do_not_fit_name_the_safeguards_key() -> None:
    with pytest.raises(ValueError, match=r"^safeguards\.during\.data: sequence_length: 3 tokens"):
        work_of(job(data={"sequence_length": 3}))


def test_no_safeguard_is_no_work() -> None:
    plain = make_job(config(), Path("results"), "align", **names("none"))
    assert prepare_safeguard(plain, None, None) is None
    values = config().model_dump(mode="json")
    assert parse_config(values, "f.yaml") == config()
