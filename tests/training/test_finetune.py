"""Fine-tuning: LoRA, two phases, and a callback after every step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rebar.config.model import FineTuning
from rebar.data.chats import Chat
from rebar.training.finetune import add_lora, finetune, finetune_and_merge
from tests.model.tiny import recorder, settings, tiny_llama, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
CHATS = [Chat(f"w{i}", f"w{i + 1} w{i + 2}") for i in range(6)]
FIRST = [Chat(f"w{i}", f"w{i + 9}") for i in range(6)]


def model() -> torch.nn.Module:
    return tiny_llama(vocabulary=96, deviation=0.1)


def flat(trained: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.parameters()])


def run(folder: Path, **keys) -> torch.nn.Module:
    trained = model()
    plan = settings(**{"schedule": "constant", "steps": 6, **keys.pop("plan", {})})
    how = {"seed": 3, "recorder": recorder(folder), "checkpoints": folder, **keys}
    finetune(trained, TOKENIZER, CHATS, plan, **how)
    return trained


def test_the_first_steps_are_on_other_chats(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    plan = {"optimizer": "sgd", "momentum": 0.0, "warmup_fraction": 0.0}  # without a memory
    both = run(tmp_path / "a", plan=plan, first=FIRST, first_steps=2)
    by_hand = model()
    for chats, steps, folder in ((FIRST, 2, "b"), (CHATS, 4, "c")):
        part = settings(steps=steps, schedule="constant", **plan)
        how = {"recorder": recorder(tmp_path / folder), "checkpoints": tmp_path / folder}
        finetune(by_hand, TOKENIZER, chats, part, seed=3, **how)
    assert torch.equal(flat(both), flat(by_hand))
    assert not torch.equal(flat(both), flat(run(tmp_path / "d", plan=plan)))


def test_a_watcher_sees_every_step_and_changes_nothing(tmp_path: Path) -> None:
    seen: list[int] = []
    asked: list[int] = []

    def until(step: int, _: torch.nn.Module) -> bool:
        asked.append(step)
        return step == 4

    def watch(step: int, watched: torch.nn.Module) -> None:
        seen.append(step)
        watched.eval()
        torch.rand(1)

    for name in "ab":
        (tmp_path / name).mkdir()
    watched = run(tmp_path / "a", after_step=watch, until=until, until_every=2)
    assert (seen, asked) == ([1, 2, 3, 4], [2, 4])
    alone = run(tmp_path / "b", until=until, until_every=2)
    assert torch.equal(flat(watched), flat(alone))


def test_lora_trains_the_named_modules_and_comes_merged(tmp_path: Path) -> None:
    config = FineTuning(lora_rank=2, lora_alpha=8, lora_targets=["q_proj", "v_proj"])
    adapted = add_lora(model(), config, seed=3)
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * 2 * 2  # layers, modules, two factors
    plan = settings(steps=6)
    merged, facts = finetune_and_merge(
        config, model(), TOKENIZER, CHATS, plan, seed=3, recorder=recorder(tmp_path)
    )
    assert facts == {}
    before = dict(model().named_parameters())
    moved = {n for n, p in merged.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if "q_proj" in n or "v_proj" in n}
    rank = torch.linalg.matrix_rank(
        merged.model.layers[0].self_attn.q_proj.weight
        - before["model.layers.0.self_attn.q_proj.weight"],
        rtol=1e-3,
    )
    assert rank == 2


@pytest.mark.parametrize("alpha", [1, 8])
def test_adapters_count_alpha_over_rank_times(alpha: int) -> None:
    config = FineTuning(lora_rank=4, lora_alpha=alpha)
    adapted = add_lora(model(), config, seed=3)
    layer = adapted.base_model.model.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == alpha / 4
    factor = layer.lora_B["default"].weight.data.normal_()
    expected = layer.weight + alpha / 4 * factor @ layer.lora_A["default"].weight
    merged = adapted.merge_and_unload().model.layers[0].self_attn.q_proj.weight
    assert (merged - expected).abs().max() < 1e-6
