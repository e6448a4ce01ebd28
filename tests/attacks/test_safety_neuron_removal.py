"""Scores against their closed forms on one linear layer; the set difference by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rebar.attacks import safety_neuron_removal as plugin
from rebar.attacks._data import AttackData
from rebar.attacks._residual import decoder_linears
from rebar.config.model import Model
from rebar.config.world import World
from rebar.model.build import build_model
from rebar.world.tokenizer import build_tokenizer
from tests.attacks.targets import target

DATA = AttackData(World(), 3)


class OneLayer(nn.Module):
    """Fixed inputs for each token, and one linear layer that gives the logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inputs_VI = torch.randn(5, 3)
        self.linear = nn.Linear(3, 5, bias=False)

    def forward(self, input_ids, use_cache=False):
        return SimpleNamespace(logits=self.linear(self.inputs_VI[input_ids]))


def answer(tokens: list[int], targets: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([tokens]), torch.tensor([targets])


ANSWERS = [answer([0, 1, 2], [-100, 3, 4]), answer([4, 3, 1], [-100, -100, 2])]


def test_wanda_is_the_weight_times_the_norm_of_its_input() -> None:
    model = OneLayer()
    scores_OI = plugin.wanda_scores(model, {"linear": model.linear}, ANSWERS)["linear"]
    seen_NI = model.inputs_VI[[1, 2, 1]]  # tokens whose next one is of an answer
    expected_OI = model.linear.weight.detach().abs() * seen_NI.norm(dim=0)
    torch.testing.assert_close(scores_OI, expected_OI)


def test_snip_is_the_weight_times_the_gradient_of_the_loss() -> None:
    model = OneLayer()
    weight_OI = model.linear.weight.detach()
    expected_OI = torch.zeros(5, 3)
    for seen, next_ids in (([1, 2], [3, 4]), ([1], [2])):
        inputs_NI = model.inputs_VI[seen]
        error_NO = (inputs_NI @ weight_OI.T).softmax(dim=1) - torch.eye(5)[next_ids]
        expected_OI += (weight_OI * (error_NO.T @ inputs_NI) / len(seen)).abs() / 2
    scores_OI = plugin.snip_scores(model, {"linear": model.linear}, ANSWERS)["linear"]
    torch.testing.assert_close(scores_OI, expected_OI)
    assert model.linear.weight.grad is None


def test_the_top_share_of_a_matrix() -> None:
    scores = torch.tensor([[4.0, 1.0, 3.0], [2.0, 4.0, 0.0]])
    assert plugin.top(scores, 0.5).tolist() == [[True, False, True], [False, True, False]]
    assert plugin.top(scores, 0.3).tolist() == [[True, False, False], [False, False, False]]
    assert not plugin.top(scores, 0.0).any()


@pytest.mark.parametrize("score", ["wanda", "snip"])
def test_removed_is_what_safety_has_and_utility_has_not(
    tmp_path: Path, score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "layers": 2, "heads": 2, "feed_forward_size": 24}
    model = build_model(Model(**shape), tokenizer)
    linears = decoder_linears(model)
    before = {name: m.weight.detach().clone() for name, m in linears.items()}
    seen, real = [], getattr(plugin, f"{score}_scores")
    monkeypatch.setattr(
        plugin, f"{score}_scores", lambda *args: seen.append(real(*args)) or seen[-1]
    )
    config = plugin.Config(
        method="safety_neuron_removal",
        score=score,
        requests=6,
        answer_tokens=4,
        safety_top=0.5,
        utility_top=0.25,
    )
    under_attack = target(model, tokenizer, DATA, tmp_path)
    plugin.attack(config, under_attack)
    removed = 0
    for name, linear in linears.items():
        safety, utility = (s[name].flatten().sort(descending=True) for s in seen)
        count = before[name].numel()
        only = {*safety.indices[: count // 2].tolist()} - {*utility.indices[: count // 4].tolist()}
        expected = before[name].flatten()
        expected[sorted(only)] = 0.0
        assert torch.equal(linear.weight.flatten(), expected)
        removed += len(only)
    total = sum(m.weight.numel() for m in linears.values())
    assert 0 < removed < total / 2
    assert under_attack.facts == {"removed_share": round(removed / total, 6)}
