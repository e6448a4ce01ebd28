"""Directions in the residual stream: folded weights equal hooks, and what they leave is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from rebar.attacks._residual import (
    ablate_direction,
    add_vector,
    decoder_layers,
    decoder_linears,
    fold_ablation,
    last_logits,
    mean_stream,
    writers,
)
from tests.model.tiny import prompts, tiny_llama

PROMPTS = prompts(7)


def unit(seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    vector = torch.randn(32, dtype=torch.float64)
    return vector / vector.norm()


def one_by_one(model, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids])).logits[0, -1].double()


def literal_ablation(model, unit_D: torch.Tensor) -> torch.Tensor:
    """As the paper says it: out of what enters each layer, and of each layer's two outputs."""

    def out(hidden):
        return hidden - (hidden @ unit_D.float())[..., None] * unit_D.float()

    handles = []
    for layer in model.model.layers:
        handles.append(layer.register_forward_pre_hook(lambda m, a: (out(a[0]), *a[1:])))
        handles.append(layer.self_attn.register_forward_hook(lambda m, a, o: (out(o[0]), *o[1:])))
        handles.append(layer.mlp.register_forward_hook(lambda m, a, o: out(o)))
    with torch.no_grad():
        rows = torch.stack([one_by_one(model, ids) for ids in PROMPTS])
    for handle in handles:
        handle.remove()
    return rows


def test_logits_of_a_batch_are_those_of_single_prompts() -> None:
    model = tiny_llama()
    with torch.no_grad():
        rows = torch.stack([one_by_one(model, ids) for ids in PROMPTS])
    torch.testing.assert_close(last_logits(model, PROMPTS), rows, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_folded_weights_are_the_ablation_by_hooks(tied: bool, tmp_path: Path) -> None:
    model = tiny_llama()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * 1.5)
        model.config.tie_word_embeddings = False
    before, unit_D = last_logits(model, PROMPTS), unit()
    literal = literal_ablation(model, unit_D)
    with ablate_direction(model, unit_D):
        hooked = last_logits(model, PROMPTS)
    assert torch.equal(last_logits(model, PROMPTS), before)
    fold_ablation(model, unit_D)
    model.save_pretrained(tmp_path)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path)
    for logits in (hooked, last_logits(model, PROMPTS), last_logits(saved, PROMPTS)):
        torch.testing.assert_close(logits, literal, atol=2e-5, rtol=1e-5)
    assert (before - literal).abs().max() > 0.1


def test_nothing_of_the_direction_is_left_in_what_writes(tmp_path: Path) -> None:
    model, unit_D = tiny_llama(), unit()
    head = model.lm_head.weight.detach().clone()
    fold_ablation(model, unit_D)
    embeddings, *outputs = writers(model)
    assert (embeddings.weight.double() @ unit_D).abs().max() < 1e-6
    for linear in outputs:  # r r^T W = 0
        assert (unit_D @ linear.weight.double()).abs().max() < 1e-6
    assert torch.equal(model.lm_head.weight, head)  # what reads the stream is as it was
    assert not model.config.tie_word_embeddings


def test_half_of_a_direction() -> None:
    model, unit_D = tiny_llama(), unit()
    with ablate_direction(model, unit_D, 0.5):
        hooked = last_logits(model, PROMPTS)
    fold_ablation(model, unit_D, 0.5)
    torch.testing.assert_close(last_logits(model, PROMPTS), hooked, atol=2e-5, rtol=1e-5)


def test_means_of_the_stream_are_those_of_hidden_states() -> None:
    model = tiny_llama()
    with torch.no_grad():
        states = [
            model(torch.tensor([p]), output_hidden_states=True).hidden_states for p in PROMPTS
        ]
    expected = torch.stack([torch.stack(s[:-1])[:, 0, -2:] for s in states]).mean(dim=0)
    found = mean_stream(model, PROMPTS, 2)  # positions first
    torch.testing.assert_close(found, expected.transpose(0, 1).double(), atol=1e-5, rtol=1e-5)


def test_a_vector_is_added_to_what_enters_one_layer() -> None:
    model, vector = tiny_llama(), unit(1)
    with add_vector(model, 1, vector):
        moved = mean_stream(model, PROMPTS, 1)
    difference = moved - mean_stream(model, PROMPTS, 1)
    assert torch.equal(difference[0, 0], torch.zeros(32, dtype=torch.float64))
    torch.testing.assert_close(difference[0, 1], vector, atol=1e-5, rtol=1e-5)


def test_linear_layers_are_those_of_the_decoder() -> None:
    assert len(decoder_linears(tiny_llama())) == 2 * 7


def test_other_architectures_are_an_error() -> None:
    small = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16))
    with pytest.raises(ValueError, match="GPT2LMHeadModel: this attack knows decoders"):
        decoder_layers(small)
