"""The forward pass for training: a causal language model on full sequences, without mask or cache.

Llama models run through their own layers with the attention written here, because padding masks,
caches and flash attention on a CPU cost a third of a small model's step. All other models, wrapped
ones included, run their own forward.

Shapes: B sequences, T tokens, V vocabulary, D width, H heads, G key-value heads, E width of a head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer

from rebar.data.encoding import IGNORED

# On a CPU, attention with a plain score matrix is faster than flash attention up to this length
# (whose backward is slow in bf16); for longer sequences its T x T memory grows too large.
PLAIN_ATTENTION_TOKENS = 512


def language_loss(model: nn.Module, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean next-token cross-entropy in nats, over the targets that are not -100."""
    return cross_entropy(causal_logits(model, inputs_BT), targets_BT)


def answer_log_probabilities(model: nn.Module, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Log-probability in nats of each row's answer (all targets that are not -100): shape B."""
    logits_BTV = causal_logits(model, inputs_BT)
    wide = torch.promote_types(logits_BTV.dtype, torch.float32)
    losses_BT = F.cross_entropy(
        logits_BTV.to(wide).transpose(1, 2), targets_BT, ignore_index=IGNORED, reduction="none"
    )
    return -losses_BT.sum(dim=1)


def cross_entropy(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy in nats of given logits, over the targets that are not -100."""
    # In float32 at least: a softmax over bf16 logits would round the loss.
    wide = torch.promote_types(logits_BTV.dtype, torch.float32)
    return F.cross_entropy(
        logits_BTV.to(wide).flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED
    )


def layers_loss(model: Any, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean over decoder layers of the loss when each layer is read as if it were the last.

    A layer's output goes through the final norm and the unembedding (the logit lens). Raises
    ValueError for models without Llama's `model.norm`.
    """
    inner: Any = _unwrap(model)
    norm = getattr(getattr(inner, "model", None), "norm", None)
    if norm is None:
        raise ValueError(
            f"{type(inner).__name__}: reading each layer through the final norm needs a decoder "
            "with model.norm (Llama, Mistral, Qwen)"
        )
    logits_BTV, states = causal_states(model, inputs_BT)
    head = inner.get_output_embeddings()
    losses = [cross_entropy(head(norm(hidden_BTD)), targets_BT) for hidden_BTD in states[1:-1]]
    return torch.stack([*losses, cross_entropy(logits_BTV, targets_BT)]).mean()


def causal_logits(model: Any, inputs_BT: Tensor) -> Tensor:
    """Next-token logits at every position; sequences may be padded on the right only."""
    model = _unwrap(model)
    if isinstance(model, LlamaForCausalLM) and _is_plain(model):
        return _llama_logits(model, inputs_BT)
    return model(input_ids=inputs_BT, use_cache=False).logits


def causal_states(model: Any, inputs_BT: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Next-token logits, and the hidden states of the same forward pass, each B x T x D.

    The states are those of transformers: the embeddings, the output of every layer but the last,
    and the normed output that the head reads.
    """
    model = _unwrap(model)
    if isinstance(model, LlamaForCausalLM) and _is_plain(model):
        states: list[Tensor] = []
        return _llama_logits(model, inputs_BT, states), states
    output = model(input_ids=inputs_BT, use_cache=False, output_hidden_states=True)
    return output.logits, list(output.hidden_states)


def _unwrap(model: Any) -> Any:
    """The model without peft's wrapper; its adapters are inside the layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _is_plain(model: LlamaForCausalLM) -> bool:
    """Whether the model does nothing that only its own forward does."""
    return not model.config.attention_dropout and not model.is_activation_checkpointing


def _llama_logits(
    model: LlamaForCausalLM, inputs_BT: Tensor, states: list[Tensor] | None = None
) -> Tensor:
    """Logits of a Llama; appends the hidden states to `states` if it is given."""
    decoder = model.model
    hidden_BTD = decoder.embed_tokens(inputs_BT)
    positions_1T = torch.arange(inputs_BT.shape[1], device=inputs_BT.device)[None]
    rotation = decoder.rotary_emb(hidden_BTD, positions_1T)
    for layer in cast(Iterable[LlamaDecoderLayer], decoder.layers):
        if states is not None:
            states.append(hidden_BTD)
        normed_BTD = layer.input_layernorm(hidden_BTD)
        hidden_BTD = hidden_BTD + _attention(layer.self_attn, normed_BTD, rotation)
        hidden_BTD = hidden_BTD + layer.mlp(layer.post_attention_layernorm(hidden_BTD))
    normed_BTD = decoder.norm(hidden_BTD)
    if states is not None:
        states.append(normed_BTD)
    return model.lm_head(normed_BTD)


def _attention(
    attention: LlamaAttention, hidden_BTD: Tensor, rotation: tuple[Tensor, Tensor]
) -> Tensor:
    batch, length, _ = hidden_BTD.shape

    def heads(projection: nn.Module) -> Tensor:
        return projection(hidden_BTD).view(batch, length, -1, attention.head_dim).transpose(1, 2)

    query_BHTE, key_BGTE, value_BGTE = map(
        heads, (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    query_BHTE, key_BGTE = _rotate(query_BHTE, rotation), _rotate(key_BGTE, rotation)
    if hidden_BTD.is_cpu and length <= PLAIN_ATTENTION_TOKENS:
        mixed_BHTE = _plain_attention(query_BHTE, key_BGTE, value_BGTE, attention.scaling)
    else:
        mixed_BHTE = F.scaled_dot_product_attention(
            # The rotation is computed in float32; flash attention needs equal types.
            query_BHTE.to(value_BGTE.dtype),
            key_BGTE.to(value_BGTE.dtype),
            value_BGTE,
            is_causal=True,
            scale=attention.scaling,
            enable_gqa=query_BHTE.shape[1] != key_BGTE.shape[1],
        )
    return attention.o_proj(mixed_BHTE.transpose(1, 2).reshape(batch, length, -1))


def _rotate(heads_BHTE: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Apply rotary positions in the half-split convention; cosines and sines are 1 x T x E."""
    cosines, sines = rotation
    first, second = heads_BHTE.chunk(2, dim=-1)
    return heads_BHTE * cosines + torch.cat((-second, first), dim=-1) * sines


def _plain_attention(
    query_BHTE: Tensor, key_BGTE: Tensor, value_BGTE: Tensor, scale: float
) -> Tensor:
    groups = query_BHTE.shape[1] // key_BGTE.shape[1]
    if groups > 1:
        key_BGTE = key_BGTE.repeat_interleave(groups, dim=1)
        value_BGTE = value_BGTE.repeat_interleave(groups, dim=1)
    scores_BHTT = (query_BHTE * scale) @ key_BGTE.transpose(-1, -2)
    length = scores_BHTT.shape[-1]
    future_TT = torch.ones(length, length, dtype=torch.bool, device=scores_BHTT.device).triu(1)
    weights_BHTT = scores_BHTT.masked_fill(future_TT, float("-inf")).softmax(dim=-1)
    return weights_BHTT @ value_BGTE
