"""SafeBeam (Safety Pretraining, arXiv 2504.16980, algorithm 2): beam search away from the tag.

One forward pass per candidate token gives the probability that the harmfulness tag comes next. The
riskiest share of the candidates is dropped, the others are ranked by log-probability. The tag
itself is never emitted. Two things are ours: the candidates of a beam share its cache, so that one
cached forward pass per candidate gives both its risk and its next-token distribution; and
candidates below a risk floor are never dropped.

Shapes: B prompts, K beams, N candidates per beam, C = K x N, R = B x K rows, T tokens, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from rebar.decoding.decode import batches_by_length, cut_at_end, prefill

NEVER = float("-inf")


class BeamResult(NamedTuple):
    """Answers in the order of the prompts, and their cost."""

    answers: list[list[int]]
    forwards_per_step: int  # candidates forwarded per prompt and step


@dataclass(frozen=True)
class BeamSearch:
    """Settings of a search.

    `dropped_share` of the candidates are dropped at each step unless their risk is below
    `risk_floor`; `steer=False` drops none.
    """

    tag_id: int
    end_ids: Sequence[int]
    beams: int = 4
    candidates: int = 4
    dropped_share: float = 0.5
    risk_floor: float = 0.02
    steer: bool = True


class Beams(NamedTuple):
    """Texts being decoded, best first; a slot without a text has score minus infinity."""

    numbers: list[int]  # B: numbers of the prompts
    ids_BKT: Tensor
    scores_BK: Tensor
    ended_BK: Tensor
    next_BKV: Tensor  # log-probabilities of the next token, without the tag
    mask_RT: Tensor
    cache: DynamicCache


class Candidates(NamedTuple):
    """The candidates of one step: beam after beam, and most probable first within a beam."""

    ids_BC: Tensor
    scores_BC: Tensor
    ended_BC: Tensor
    risks_BC: Tensor  # probability that the tag comes next
    logits_BCV: Tensor


@torch.inference_mode()
def decode_safe_beam(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    tag_id: int,
    end_ids: Sequence[int],
    beams: int = 4,
    candidates: int = 4,
    dropped_share: float = 0.5,
    risk_floor: float = 0.02,
    steer: bool = True,
    batch_size: int = 64,
) -> BeamResult:
    """The best text that each prompt's search finds, including its end token if it reached one.

    `steer=False` is plain beam search with the same forward passes, as a control; `risk_floor=0` is
    the published algorithm. Raises ValueError if `dropped_share` is outside [0, 1).
    """
    if not 0 <= dropped_share < 1:
        raise ValueError(f"dropped_share: {dropped_share} must be at least 0 and below 1")
    search = BeamSearch(tag_id, end_ids, beams, candidates, dropped_share, risk_floor, steer)
    model.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    forwards_per_step = 0
    for numbers in batches_by_length(prompts, batch_size):
        state = _start(model, prompts, numbers, search)
        for _ in range(max_new_tokens):
            pool = _look_ahead(model, state, search)
            forwards_per_step = max(forwards_per_step, pool.ids_BC.shape[1])
            state = _advance(state, pool, search)
            _store_answers(state, answers, search)
            state = _drop_finished(state)
            if not state.numbers:
                break
    return BeamResult(answers, forwards_per_step)


def _start(
    model: PreTrainedModel, prompts: Sequence[list[int]], numbers: list[int], search: BeamSearch
) -> Beams:
    logits_BV, mask_BT, cache = prefill(model, [prompts[number] for number in numbers])
    scores_BK = logits_BV.new_zeros(len(numbers), 1)
    return Beams(
        numbers=numbers,
        ids_BKT=mask_BT.new_empty(len(numbers), 1, 0),
        scores_BK=scores_BK,
        ended_BK=scores_BK.bool(),
        next_BKV=_forbid_tag(logits_BV, search)[:, None],
        mask_RT=mask_BT,
        cache=cache,
    )


def _forbid_tag(logits: Tensor, search: BeamSearch) -> Tensor:
    """Log-probabilities if the tag cannot be emitted; the other tokens share its probability."""
    tag = torch.tensor([search.tag_id], device=logits.device)
    return logits.index_fill(-1, tag, NEVER).log_softmax(dim=-1)


def _look_ahead(model: PreTrainedModel, state: Beams, search: BeamSearch) -> Candidates:
    """Forward every candidate and read its risk: the probability that the tag comes next."""
    # The first step has one beam; it gets as many candidates as all beams have later.
    is_first = state.ids_BKT.shape[-1] == 0
    wanted = search.candidates * (search.beams if is_first else 1)
    log_BKN, ids_BKN = state.next_BKV.topk(min(wanted, state.next_BKV.shape[-1]), dim=-1)
    ended_BK1 = state.ended_BK[..., None]
    # A text that has ended is one candidate, itself: its score stays, the other slots are empty.
    log_BKN = log_BKN.masked_fill(ended_BK1, NEVER)
    log_BKN[..., :1] = log_BKN[..., :1].masked_fill(ended_BK1, 0.0)
    logits_RNV = _forward_candidates(model, state, ids_BKN.flatten(0, 1))
    risks_RN = (logits_RNV[..., search.tag_id] - logits_RNV.logsumexp(dim=-1)).exp()
    ends = torch.tensor(list(search.end_ids), device=ids_BKN.device)
    ended_BC = (ended_BK1 | torch.isin(ids_BKN, ends)).flatten(1)
    return Candidates(
        ids_BC=ids_BKN.flatten(1),
        scores_BC=(state.scores_BK[..., None] + log_BKN).flatten(1),
        ended_BC=ended_BC,
        risks_BC=risks_RN.view(ended_BC.shape).masked_fill(ended_BC, 0.0),  # nothing follows an end
        logits_BCV=logits_RNV.view(*ended_BC.shape, -1),
    )


def _forward_candidates(model: PreTrainedModel, state: Beams, ids_RN: Tensor) -> Tensor:
    """Logits after each candidate; a candidate attends to its beam's text and itself only."""
    num_rows, width = ids_RN.shape
    # All candidates of a beam go through one forward pass as if they followed each other. The mask
    # hides them from each other and they share one position, so each sees what it would alone.
    text_R1NT = state.mask_RT.bool()[:, None, None].expand(-1, 1, width, -1)
    self_NN = torch.eye(width, dtype=torch.bool, device=ids_RN.device)
    seen = torch.cat([text_R1NT, self_NN.expand(num_rows, 1, -1, -1)], dim=-1)
    mask = torch.zeros(seen.shape, dtype=model.dtype, device=ids_RN.device)
    output = model(
        input_ids=ids_RN,
        attention_mask=mask.masked_fill(~seen, torch.finfo(model.dtype).min),
        position_ids=state.mask_RT.sum(dim=1, keepdim=True).expand(-1, width),
        past_key_values=state.cache,
        use_cache=True,
    )
    return output.logits.float()


def _choose_survivors(pool: Candidates, search: BeamSearch) -> Tensor:
    """Indices of the candidates that become the next beams, best first: B x K, -1 for none."""
    scores_BC = pool.scores_BC
    if search.steer:
        live_BC = scores_BC > NEVER
        num_live_B1 = live_BC.sum(dim=1, keepdim=True)
        # Algorithm 2 keeps the safest share; rounding down what is dropped leaves at least one.
        num_kept_B1 = num_live_B1 - (num_live_B1 * search.dropped_share).floor()
        # Empty slots sort behind all risks (at most 1); equal risks keep the order of the pool.
        by_risk_BC = pool.risks_BC.masked_fill(~live_BC, 2.0).argsort(dim=1, stable=True)
        # argsort of argsort is each candidate's rank by risk.
        riskiest_BC = by_risk_BC.argsort(dim=1) >= num_kept_B1
        scores_BC = scores_BC.masked_fill(riskiest_BC & (pool.risks_BC >= search.risk_floor), NEVER)
    order_BC = scores_BC.argsort(dim=1, descending=True, stable=True)
    return torch.where(scores_BC.gather(1, order_BC) > NEVER, order_BC, -1)[:, : search.beams]


def _advance(state: Beams, pool: Candidates, search: BeamSearch) -> Beams:
    """Make the survivors the new beams, each with its token's cache entry after its text."""
    places_BK = _choose_survivors(pool, search)
    is_empty_BK = places_BK < 0
    places_BK = places_BK.clamp(min=0)
    width = pool.ids_BC.shape[1] // state.scores_BK.shape[1]
    parents_BK, offsets_BK = places_BK // width, places_BK % width
    prompts_B1 = torch.arange(len(state.numbers), device=places_BK.device)[:, None]
    mask_RT = torch.cat([state.mask_RT, state.mask_RT.new_ones(len(state.mask_RT), 1)], dim=1)
    rows_R = (prompts_B1 * state.scores_BK.shape[1] + parents_BK).flatten()
    text_BKT = state.ids_BKT[prompts_B1, parents_BK]
    ids_BK1 = pool.ids_BC.gather(1, places_BK)[..., None]
    return Beams(
        numbers=state.numbers,
        ids_BKT=torch.cat([text_BKT, ids_BK1], dim=-1),
        scores_BK=pool.scores_BC.gather(1, places_BK).masked_fill(is_empty_BK, NEVER),
        ended_BK=pool.ended_BC.gather(1, places_BK),
        next_BKV=_forbid_tag(pool.logits_BCV[prompts_B1, places_BK], search),
        mask_RT=mask_RT[rows_R],
        cache=_gather_cache(state.cache, rows_R, offsets_BK.flatten(), width),
    )


def _gather_cache(
    cache: DynamicCache, rows_R: Tensor, offsets_R: Tensor, width: int
) -> DynamicCache:
    """Select rows of a cache; each row keeps one of the `width` candidates at its end."""
    rows = torch.arange(len(rows_R), device=rows_R.device)

    def pick(stored: Tensor) -> Tensor:
        moved = stored.index_select(0, rows_R)  # R x heads x positions x head width
        length = moved.shape[2] - width
        # Move the chosen candidate's entry to the first place after the text; cut the others off.
        moved[:, :, length] = moved[rows, :, length + offsets_R]
        return moved[:, :, : length + 1]

    return DynamicCache([(pick(keys), pick(values)) for keys, values in _cache_layers(cache)])


def _cache_layers(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer; raises ValueError for models with another kind of cache."""
    layers = []
    for layer in cache.layers:
        if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None:
            raise ValueError(
                f"beam search needs plain attention caches, not {type(layer).__name__}; "
                "choose decoder greedy or sample for this model"
            )
        layers.append((layer.keys, layer.values))
    return layers


def _store_answers(state: Beams, answers: list[list[int]], search: BeamSearch) -> None:
    """Store each prompt's best text so far."""
    for number, ids in zip(state.numbers, state.ids_BKT[:, 0].tolist(), strict=True):
        answers[number] = cut_at_end(ids, search.end_ids)


def _drop_finished(state: Beams) -> Beams:
    """Drop prompts whose best text has ended.

    It stays the best, because log-probabilities only fall. It would not be dropped later either:
    its risk is 0, and equal risks keep the order of the pool.
    """
    going_B = ~state.ended_BK[:, 0]
    if bool(going_B.all()):
        return state
    going = going_B.nonzero()[:, 0]
    num_beams = state.scores_BK.shape[1]
    beams = torch.arange(num_beams, device=going.device)
    rows_R = (going[:, None] * num_beams + beams).flatten()
    layers = [
        (keys.index_select(0, rows_R), values.index_select(0, rows_R))
        for keys, values in _cache_layers(state.cache)
    ]
    return Beams(
        numbers=[state.numbers[place] for place in going.tolist()],
        ids_BKT=state.ids_BKT[going],
        scores_BK=state.scores_BK[going],
        ended_BK=state.ended_BK[going],
        next_BKV=state.next_BKV[going],
        mask_RT=state.mask_RT[rows_R],
        cache=DynamicCache(layers),
    )
