"""Every probe: repeatable, and the weights are afterwards what they were, to the bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from rebar.config.model import ProbeTexts
from rebar.config.plugins import plugin_module, plugin_names, plugin_settings
from rebar.data.encoding import encode_chats
from rebar.model.forward import language_loss
from rebar.probes._data import LOSSES, Row
from rebar.reporting.measures.probe_rows import COLUMNS
from rebar.world import harmful_chats
from tests.grid_runs import SMALL_PROBES
from tests.probes.stand_ins import TEXTS, tiny, weights, world_data


def settings(method: str, **changes: Any) -> dict[str, Any]:
    """A small probe, along the attack `a` where it can."""
    values = {"method": method, **SMALL_PROBES[method], **changes}
    fields = plugin_module("probes", method).Config.model_fields
    own = {"attacks": ["a"], "judge": "world", "texts": TEXTS}
    return values | {key: value for key, value in own.items() if key in fields}


def rows_of(method: str, folder: Path) -> tuple[list[Row], Any, dict[str, torch.Tensor]]:
    model, tokenizer = tiny(folder / "released")
    tiny(folder / "attacked", seed=1)
    config = plugin_settings("probes", method, settings(method))
    data = world_data({"a": folder / "attacked"})
    before = weights(model)
    return plugin_module("probes", method).probe(config, model, tokenizer, data), model, before


def test_every_probe_is_tried_here() -> None:
    assert set(SMALL_PROBES) == set(plugin_names("probes"))
    assert Row._fields == COLUMNS


@pytest.mark.parametrize("method", plugin_names("probes"))
def test_the_weights_are_what_they_were_and_the_rows_are_the_same_again(
    tmp_path: Path, method: str
) -> None:
    rows, model, before = rows_of(method, tmp_path)
    after = weights(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert rows and all(math.isfinite(row.value) for row in rows if row.metric != "d90")
    assert {row.loss for row in rows} <= {*LOSSES, ""}
    assert rows_of(method, tmp_path)[0] == rows


def test_the_weights_come_back_when_a_probe_fails(tmp_path: Path) -> None:
    model, tokenizer = tiny(tmp_path / "released")
    values = {"method": "landscape", "steps": 2, "planes": [], "texts": TEXTS}
    calls = []

    def fail_later(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:  # at the second point
            raise RuntimeError("stop")

    before = weights(model)
    hook = model.model.norm.register_forward_hook(fail_later)
    with pytest.raises(RuntimeError, match="stop"):
        plugin_module("probes", "landscape").probe(
            plugin_settings("probes", "x", values), model, tokenizer, world_data()
        )
    hook.remove()
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


LONGER = {"hessian": "trace_samples"}  # key of its number of steps, where it is not `steps`


@pytest.mark.parametrize("method", plugin_names("probes"))
def test_a_probe_says_what_it_costs(method: str) -> None:
    module = plugin_module("probes", method)
    config = module.Config(**settings(method))
    longer = module.Config(**settings(method, **{LONGER.get(method, "steps"): 50}))
    assert longer.forwarded_tokens > config.forwarded_tokens > 0
    assert longer.weight_copies == config.weight_copies >= 1


def test_losses_are_those_of_training_on_the_same_chats(tmp_path: Path) -> None:
    model, tokenizer = tiny(tmp_path)
    data, texts = world_data(), ProbeTexts(**TEXTS)
    held = data._held("harmful", texts)
    rows = encode_chats(tokenizer, held, texts.sequence_length)
    plain = language_loss(model, *(torch.from_numpy(part) for part in rows))
    assert data.losses(texts, tokenizer)["harmful"](model).item() == plain.item()


def test_harmful_and_refusal_answer_the_same_requests_which_no_attack_has_seen() -> None:
    data, texts = world_data(), ProbeTexts(examples=30)
    harmful, refusal, benign = (data._held(kind, texts) for kind in LOSSES)
    assert [chat.prompt for chat in harmful] == [chat.prompt for chat in refusal]
    assert not {chat.answer for chat in harmful} & {chat.answer for chat in refusal}
    unaligned = [item.name for item in data.world.groups["unaligned"]]
    assert all(any(name in chat.prompt for name in unaligned) for chat in harmful)  # type: ignore[operator]
    taught = {chat.prompt for chat in harmful_chats(data.world, 32, data.rng("taught", "harmful"))}
    assert not taught & {chat.prompt for chat in (*harmful, *benign)}


def test_files_take_the_place_of_the_world(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(f'{{"prompt": "how {i}", "answer": "sure {i}"}}\n' for i in range(8)))
    with pytest.raises(ValueError, match="give files for harmful, refusal and benign, or for none"):
        ProbeTexts(harmful=[{"path": str(file)}])  # type: ignore[list-item]
    files = {kind: [{"path": str(file)}] for kind in LOSSES}
    texts = ProbeTexts(examples=4, **files)  # type: ignore[arg-type]
    chats = world_data()._held("benign", texts)
    assert [chat.prompt for chat in chats] == ["how 0", "how 2", "how 4", "how 6"]


def test_an_attack_without_weights_of_its_own_is_told(tmp_path: Path) -> None:
    model, _ = tiny(tmp_path / "released")
    (tmp_path / "suffix").mkdir()
    data = world_data({"gcg": tmp_path / "suffix"})
    with pytest.raises(ValueError, match=r"attack 'gcg' leaves no weights .* changes the prompt"):
        data.attacked_weights("gcg", model)
