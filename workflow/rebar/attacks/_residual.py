"""The residual stream of a Llama-like decoder: read it, add to it, remove a direction from it.

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
    """Layers that add their two outputs to the stream unscaled; ValueError for other models."""
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
    """Linear layers of the decoder by name, without embeddings and head."""
    head = model.get_output_embeddings()
    modules = model.named_modules()
    return {name: m for name, m in modules if isinstance(m, nn.Linear) and m is not head}


def writers(model: Any) -> list[Any]:
    """Modules whose outputs sum up to the stream: embeddings, attention and MLP outputs."""
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
    """Mean over prompts of the input of each layer at the last `positions` tokens: P x L x D.

    Sums are in float64, so activations that are equal for all prompts have exactly equal means.
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
def add_vector(model: Any, layer: int, vector_D: Tensor) -> Iterator[None]:
    """While the block runs, add a vector to the input of a layer, at every position."""

    def hook(module: Any, hidden_BTD: Tensor) -> Tensor:
        return hidden_BTD + vector_D.to(hidden_BTD)

    with _stream_hooks([(decoder_layers(model)[layer], hook)]):
        yield


@contextmanager
def _stream_hooks(hooks: list[tuple[Any, Callable[..., Any]]]) -> Iterator[None]:
    """Call hooks with the inputs of layers; a hook that returns a tensor replaces the input."""

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
def ablate_direction(model: Any, unit_D: Tensor, strength: float = 1.0) -> Iterator[None]:
    """While the block runs, remove this share of a direction from every output into the stream.

    At strength 1 this is the ablation of Arditi et al. (arXiv 2406.11717) at every layer and
    position: the stream is the sum of these outputs, so no part of the direction is left in it.
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
    """Remove the direction from the weights: the model then computes the same as in `ablated`.

    A tied head shares its matrix with the embeddings, but ablation does not change the head. So the
    head gets a copy of its own first. The saved model has one more matrix and is no longer tied.
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
