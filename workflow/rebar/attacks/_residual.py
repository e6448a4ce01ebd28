"""The residual stream of a Llama-like decoder: who writes it, what stands in it, changes to it.

Legend: B prompts, P positions, L layers, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rebar.decoding.decode import batches_by_length, prefill

BATCH_SIZE = 32


def decoder_layers(model: Any) -> list[Any]:
    """Layers whose two outputs are added to the stream as they are; ValueError for other models."""
    layers = _children(_children(model).get("model")).get("layers")
    layers = list(layers) if isinstance(layers, nn.ModuleList) else []
    if not layers or not all(map(_adds_its_outputs, layers)):
        raise ValueError(
            f"{type(model).__name__}: this attack knows decoders with layers of self_attn.o_proj "
            "and mlp.down_proj whose outputs are added as they are (Llama, Mistral, Qwen)"
        )
    return layers


def _children(module: nn.Module | None) -> dict[str, nn.Module]:
    return {} if module is None else dict(module.named_children())


def _adds_its_outputs(layer: nn.Module) -> bool:
    """True for a layer that adds what its two output matrices compute, unscaled."""
    names = {name for name, _ in layer.named_modules()}
    is_scaled = "post_feedforward_layernorm" in names  # Gemma 2 normalises what it adds
    return {"self_attn.o_proj", "mlp.down_proj"} <= names and not is_scaled


def decoder_linears(model: Any) -> dict[str, nn.Linear]:
    """Linear layers of the decoder by name: not the embeddings, not the head."""
    head = model.get_output_embeddings()
    modules = model.named_modules()
    return {name: m for name, m in modules if isinstance(m, nn.Linear) and m is not head}


def writers(model: Any) -> list[Any]:
    """Modules whose outputs make up the stream: embeddings, attention and MLP outputs."""
    outputs = [m for x in decoder_layers(model) for m in (x.self_attn.o_proj, x.mlp.down_proj)]
    return [model.get_input_embeddings(), *outputs]


def last_logits(model: Any, prompts: Sequence[list[int]]) -> Tensor:
    """Next-token logits after each prompt, B x V in float64."""
    rows: list[Tensor] = [torch.empty(0)] * len(prompts)
    with torch.no_grad():
        for numbers in batches_by_length(prompts, BATCH_SIZE):
            logits_BV = prefill(model, [prompts[number] for number in numbers]).logits_BV
            for number, logits_V in zip(numbers, logits_BV.double(), strict=True):
                rows[number] = logits_V
    return torch.stack(rows)


def mean_stream(model: Any, prompts: Sequence[list[int]], positions: int) -> Tensor:
    """Mean over prompts of what enters each layer at the last `positions` tokens: P x L x D.

    In float64, so that activations that are equal for all prompts have exactly equal means.
    """
    layers = decoder_layers(model)
    sums_PLD = torch.zeros(positions, len(layers), model.config.hidden_size, dtype=torch.float64)

    def keep(number: int) -> Callable[..., None]:
        def hook(layer: Any, hidden_BTD: Tensor) -> None:
            sums_PLD[:, number] += hidden_BTD[:, -positions:].double().sum(dim=0).cpu()

        return hook

    with _stream_hooks([(layer, keep(number)) for number, layer in enumerate(layers)]):
        last_logits(model, prompts)
    return sums_PLD / len(prompts)


@contextmanager
def added(model: Any, layer: int, vector_D: Tensor) -> Iterator[None]:
    """The model with a vector added to what enters a layer, at every position."""

    def hook(module: Any, hidden_BTD: Tensor) -> Tensor:
        return hidden_BTD + vector_D.to(hidden_BTD)

    with _stream_hooks([(decoder_layers(model)[layer], hook)]):
        yield


@contextmanager
def _stream_hooks(hooks: list[tuple[Any, Callable[..., Any]]]) -> Iterator[None]:
    """Hooks on what enters layers; one that returns a tensor replaces it."""

    def before(run: Callable[..., Any]) -> Callable[..., Any]:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            new = run(module, args[0])
            return None if new is None else ((new, *args[1:]), kwargs)

        return hook

    handles = [m.register_forward_pre_hook(before(run), with_kwargs=True) for m, run in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def ablated(model: Any, unit_D: Tensor, strength: float = 1.0) -> Iterator[None]:
    """The model with `strength` of a direction taken out of everything that the stream is made of.

    At 1 this is Arditi et al.'s ablation at every layer and position: the stream is a sum of the
    writers' outputs, so it has no share of the direction anywhere.
    """

    def hook(module: Any, inputs: Any, output: Tensor) -> Tensor:
        unit = unit_D.to(output)
        return output - strength * (output @ unit)[..., None] * unit

    handles = [module.register_forward_hook(hook) for module in writers(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def fold_ablation(model: Any, unit_D: Tensor, strength: float = 1.0) -> None:
    """Take the direction out of the weights, so that the plain model runs as under `ablated`.

    A tied head reads the stream by the matrix that writes it. It is given a copy of its own first:
    without, the unembedding would change too, which ablation does not do. The saved model has one
    matrix more and is not tied any more.
    """
    if model.config.tie_word_embeddings:
        _untie(model)
    embeddings, *outputs = writers(model)
    with torch.no_grad():
        _take_out(embeddings.weight, unit_D, strength)  # V x D: rows are outputs
        for linear in outputs:
            _take_out(linear.weight.T, unit_D, strength)  # views: D is the last axis of both
            if linear.bias is not None:
                _take_out(linear.bias, unit_D, strength)


def _take_out(rows: Tensor, unit_D: Tensor, strength: float) -> None:
    unit, exact = unit_D.to(rows.device).double(), rows.double()
    rows.copy_(exact - strength * (exact @ unit)[..., None] * unit)


def _untie(model: Any) -> None:
    head = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    model.config.tie_word_embeddings = False
