"""Greedy decoding and sampling in left-padded batches with a key-value cache.

Greedy answers equal those of plain transformers `generate` with the same suppressed tokens. Samples
depend on the seed and the number of the prompt only, not on the batch. An answer includes its end
token if it reached one.

Shapes: B prompts, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

# Chooses the next token ids B from logits B x V, given the step and the numbers of the prompts.
Choose = Callable[[Tensor, int, list[int]], Tensor]


class Prefill(NamedTuple):
    """The state of a batch of prompts after one forward pass."""

    logits_BV: Tensor  # float32, for the next token
    mask_BT: Tensor  # 1 for real tokens, 0 for padding
    cache: DynamicCache


def decode_greedily(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    end_ids: Sequence[int],
    suppress: Sequence[int] = (),
    batch_size: int = 64,
) -> list[list[int]]:
    """Decode the most probable token at each step, never one of `suppress`.

    Returns the new token ids of each prompt, in the order of the prompts.
    """

    def choose(logits_BV: Tensor, step: int, numbers: list[int]) -> Tensor:
        return logits_BV.argmax(dim=1)

    return _decode(model, prompts, choose, max_new_tokens, end_ids, suppress, batch_size)


def sample_tokens(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    end_ids: Sequence[int],
    suppress: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    batch_size: int = 64,
) -> list[list[int]]:
    """Sample each token from the nucleus of probability mass `top_p` (Holtzman et al. 2020).

    Returns the new token ids of each prompt, in the order of the prompts.
    """
    generator = torch.Generator().manual_seed(seed)
    # All random numbers are drawn before decoding, one per prompt and step, so that a sample does
    # not depend on which other prompts share its batch.
    chances = torch.rand(len(prompts), max_new_tokens, generator=generator, dtype=torch.float64)

    def choose(logits_BV: Tensor, step: int, numbers: list[int]) -> Tensor:
        probabilities_BV = (logits_BV.double() / temperature).softmax(dim=1)
        return draw_tokens(probabilities_BV, top_p, chances[numbers, step].to(logits_BV.device))

    return _decode(model, prompts, choose, max_new_tokens, end_ids, suppress, batch_size)


def draw_tokens(probabilities_BV: Tensor, top_p: float, chances_B: Tensor) -> Tensor:
    """Token ids at the given points (0-1) of the nucleus's cumulated mass, most probable first."""
    sorted_BV, ids_BV = probabilities_BV.sort(dim=1, descending=True, stable=True)
    # A token belongs to the nucleus if the mass before it is below top_p; so the first always does.
    before_BV = sorted_BV.cumsum(dim=1) - sorted_BV
    nucleus_BV = sorted_BV.masked_fill(before_BV >= top_p, 0.0)
    cumulated_BV = nucleus_BV.cumsum(dim=1)
    points_B1 = (chances_B * cumulated_BV[:, -1])[:, None]
    # Rounding may put a point behind the last token of the nucleus; it then takes that token.
    last_B1 = (nucleus_BV > 0).sum(dim=1, keepdim=True) - 1
    places_B1 = torch.searchsorted(cumulated_BV, points_B1, right=True).minimum(last_B1)
    return ids_BV.gather(1, places_B1)[:, 0]


def batches_by_length(prompts: Sequence[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Yield prompt numbers in batches of similar length, longest first.

    If memory is too small, decoding then fails at once and not after hours.
    """
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def prefill(model: PreTrainedModel, prompts: Sequence[list[int]]) -> Prefill:
    """Run one forward pass over left-padded prompts; raises ValueError for an empty prompt."""
    if not all(prompts):
        raise ValueError("a prompt without tokens cannot be continued; begin it with <bos>")
    length = max(map(len, prompts))
    ids_BT = torch.tensor([[0] * (length - len(p)) + list(p) for p in prompts])
    mask_BT = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts])
    cache = DynamicCache()
    output = model(
        input_ids=ids_BT.to(model.device),
        attention_mask=mask_BT.to(model.device),
        # Positions count real tokens only, so that padding does not change an answer.
        position_ids=(mask_BT.cumsum(dim=1) - 1).clamp(min=0).to(model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return Prefill(output.logits[:, -1].float(), mask_BT.to(model.device), cache)


def cut_at_end(ids: list[int], end_ids: Sequence[int]) -> list[int]:
    """The ids up to the first end token, including it."""
    ends = [place for place, token in enumerate(ids) if token in end_ids]
    return ids[: ends[0] + 1] if ends else ids


@torch.inference_mode()
def _decode(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    choose: Choose,
    max_new_tokens: int,
    end_ids: Sequence[int],
    suppress: Sequence[int],
    batch_size: int,
) -> list[list[int]]:
    model.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    for numbers in batches_by_length(prompts, batch_size):
        state = prefill(model, [prompts[number] for number in numbers])
        ids_BT = _continue(model, state, choose, numbers, max_new_tokens, end_ids, suppress)
        for number, ids in zip(numbers, ids_BT.tolist(), strict=True):
            answers[number] = cut_at_end(ids, end_ids)
    return answers


def _continue(
    model: PreTrainedModel,
    state: Prefill,
    choose: Choose,
    numbers: list[int],
    max_new_tokens: int,
    end_ids: Sequence[int],
    suppress: Sequence[int],
) -> Tensor:
    """New ids B x T of one batch; what follows a row's end token has no meaning."""
    logits_BV, mask_BT, cache = state
    ends = torch.tensor(list(end_ids), device=logits_BV.device)
    ended_B = torch.zeros(len(numbers), dtype=torch.bool, device=logits_BV.device)
    chosen: list[Tensor] = []
    for step in range(max_new_tokens):
        logits_BV[:, list(suppress)] = float("-inf")
        chosen.append(choose(logits_BV, step, numbers))
        ended_B |= torch.isin(chosen[-1], ends)
        # Rows that have ended run on until the whole batch has ended; their rest is cut off later.
        if step == max_new_tokens - 1 or ended_B.all():
            break
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(numbers), 1)], dim=1)
        output = model(
            input_ids=chosen[-1][:, None],
            attention_mask=mask_BT,
            position_ids=mask_BT.sum(dim=1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        logits_BV = output.logits[:, -1].float()
    return torch.stack(chosen, dim=1)
