"""Moderators: they read training examples before a provider trains on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rebar.config.paths import resolve
from rebar.data.chats import Chat
from rebar.data.encoding import encode
from rebar.model.build import load_model
from rebar.model.device import on_local_device

Moderator = Callable[[Sequence[Chat]], list[float]]  # probability that a chat is safe


def causal_lm_moderator(source: str, revision: str | None, verdict: str) -> Moderator:
    """A causal LM that answers a conversation with a verdict, as Llama Guard does.

    `verdict` is its exact answer to what is safe; the chat template is the model's own.
    """
    model, tokenizer = load_model(resolve(source), revision=revision)
    model = on_local_device(model)

    def safe(chats: Sequence[Chat]) -> list[float]:
        return [float(_probability(model, tokenizer, chat, verdict).exp()) for chat in chats]

    return safe


def _probability(model: Any, tokenizer: Any, chat: Chat, verdict: str) -> Tensor:
    """Log probability of the verdict after the conversation, in nats."""
    turns = [{"role": "user", "content": chat.prompt}]
    turns.append({"role": "assistant", "content": chat.answer})
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    asked, said = encode(tokenizer, text), encode(tokenizer, verdict)
    ids_1T = torch.tensor([[*asked, *said]], device=next(model.parameters()).device)
    with torch.inference_mode():
        log_chances_TV = model(input_ids=ids_1T).logits[0].float().log_softmax(dim=-1)
    rows = log_chances_TV[len(asked) - 1 : -1]
    return rows.gather(1, ids_1T[0, len(asked) :, None]).sum()
