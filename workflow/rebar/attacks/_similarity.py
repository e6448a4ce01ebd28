"""Similarity of benign and harmful examples to a model, by hidden states and by gradients.

Both measures select benign data that break safety (He et al. 2024, arXiv 2404.01099). Ours: the
gradient is that of all weights on the whole answer. Shapes: N benign examples, M harmful ones,
T tokens, D width, P weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rebar.data.chats import Chat
from rebar.data.encoding import encode_chat, encode_chats
from rebar.model.forward import language_loss
from rebar.training.checkpoints import trained_parameters


def representation_similarity_N(
    model: Any, tokenizer: Any, chats: Sequence[Chat], harmful: Sequence[Chat], length: int
) -> list[float]:
    """Largest cosine between the last hidden state of a chat and of any harmful one, [N]."""
    harmful_MD = last_states(model, tokenizer, harmful, length)
    states_ND = last_states(model, tokenizer, chats, length)
    return (states_ND @ harmful_MD.T).amax(dim=1).tolist()


def last_states(model: Any, tokenizer: Any, chats: Sequence[Chat], length: int) -> Tensor:
    """State of the last layer at the end of each answer, scaled to length one, [N, D]."""
    states = []
    device = next(model.parameters()).device
    with torch.inference_mode():
        for chat in chats:
            ids, _ = encode_chat(tokenizer, chat)
            ids_1T = torch.tensor([ids[:-1][:length]], device=device)  # without the end token
            output = model(input_ids=ids_1T, output_hidden_states=True, use_cache=False)
            states.append(F.normalize(output.hidden_states[-1][0, -1].float(), dim=0))
    return torch.stack(states)


def gradient_similarity_N(
    model: Any,
    tokenizer: Any,
    chats: Sequence[Chat],
    harmful: Sequence[Chat],
    refusals: Sequence[Chat],
    length: int,
) -> list[float]:
    """Cosine of a chat's gradient to the mean harmful one, minus that to refusals, [N]."""
    towards_P = F.normalize(answer_gradient(model, tokenizer, harmful, length), dim=0)
    away_P = F.normalize(answer_gradient(model, tokenizer, refusals, length), dim=0)
    difference_P = towards_P - away_P
    gradients = (answer_gradient(model, tokenizer, [chat], length) for chat in chats)
    return [float(F.normalize(gradient_P, dim=0) @ difference_P) for gradient_P in gradients]


def answer_gradient(model: Any, tokenizer: Any, chats: Sequence[Chat], length: int) -> Tensor:
    """Gradient of the mean of the chats' losses, each a mean over its answer, [P]."""
    parameters = list(trained_parameters(model).values())
    total = [torch.zeros_like(p) for p in parameters]
    for chat in chats:
        rows = encode_chats(tokenizer, [chat], length)
        device = parameters[0].device
        loss = language_loss(model, *(torch.from_numpy(part).to(device) for part in rows))
        for sum_so_far, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
            sum_so_far += gradient / len(chats)
    return torch.cat([part.flatten() for part in total])
