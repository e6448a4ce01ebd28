import math
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rebar.decoding.decode import decode_greedily
from rebar.decoding.safebeam import _cache_layers, decode_safe_beam
from tests.model.tiny import prompts, tiny_llama

TAG, ENDS, STEPS = 3, [2, 9], 7


@torch.no_grad()
def logits_after(model, ids):
    return model(torch.tensor([ids])).logits[0, -1].float()


def literal_search(model, prompt, *, beams, candidates, dropped_share, risk_floor, steer):
    """The algorithm as one would write it down: no cache, one text at a time."""
    texts = [([], 0.0, False)]
    for step in range(STEPS):
        pool = []
        for text, score, ended in texts:
            if ended:
                pool.append((text, score, True, 0.0))
                continue
            logits = logits_after(model, prompt + text)
            logits[TAG] = -math.inf
            log_probabilities = logits.log_softmax(-1)
            order = log_probabilities.argsort(descending=True).tolist()
            for token in order[: candidates * beams if step == 0 else candidates]:
                if token == TAG:
                    continue
                longer = [*text, token]
                risk = float(logits_after(model, prompt + longer).softmax(-1)[TAG])
                ends = token in ENDS
                total = score + float(log_probabilities[token])
                pool.append((longer, total, ends, 0.0 if ends else risk))
        if steer:
            risky = sorted(pool, key=lambda candidate: candidate[3])
            risky = risky[len(pool) - math.floor(len(pool) * dropped_share) :]
            pool = [c for c in pool if not (c in risky and c[3] >= risk_floor)]
        texts = [c[:3] for c in sorted(pool, key=lambda c: -c[1])[:beams]]
        if all(ended for _, _, ended in texts):
            break
    return texts[0][0]


CASES = [
    (4, 4, 0.5, 0.0, True),
    (4, 4, 0.5, 0.02, True),
    (4, 4, 0.5, 0.1, True),
    (4, 4, 0.0, 0.0, False),
    (3, 5, 0.8, 0.0, True),
    (2, 3, 0.25, 0.05, True),
    (2, 2, 0.5, 0.0, False),
    (1, 4, 0.5, 0.0, True),
    (4, 1, 0.5, 0.0, True),
    (6, 4, 0.7, 0.0, True),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("beams", "candidates", "dropped_share", "risk_floor", "steer"), CASES)
def test_equals_a_literal_search(
    seed: int,
    beams: int,
    candidates: int,
    dropped_share: float,
    risk_floor: float,
    steer: bool,
) -> None:
    model, asked = tiny_llama(seed, deviation=0.25), prompts(6, seed=seed)
    search = {
        "beams": beams,
        "candidates": candidates,
        "dropped_share": dropped_share,
        "risk_floor": risk_floor,
        "steer": steer,
    }
    result = decode_safe_beam(
        model, asked, max_new_tokens=STEPS, tag_id=TAG, end_ids=ENDS, batch_size=4, **search
    )
    assert result.answers == [literal_search(model, prompt, **search) for prompt in asked]


def answers(model, asked, **search):
    return decode_safe_beam(
        model, asked, max_new_tokens=STEPS, tag_id=TAG, end_ids=ENDS, **search
    ).answers


def test_settings_matter_on_these_models() -> None:
    model, asked = tiny_llama(deviation=0.25), prompts(20)
    plain = answers(model, asked, steer=False)
    assert plain != answers(model, asked, risk_floor=0.0)
    assert answers(model, asked, risk_floor=0.0) != answers(model, asked, risk_floor=0.1)
    assert plain != answers(model, asked, steer=False, beams=1)
    lengths = {len(answer) for answer in plain}
    assert STEPS in lengths and min(lengths) < STEPS


def test_a_high_floor_is_the_control() -> None:
    model, asked = tiny_llama(deviation=0.25), prompts(20)
    assert answers(model, asked, risk_floor=1.1) == answers(model, asked, steer=False)


def test_one_beam_and_one_candidate_is_greedy() -> None:
    model, asked = tiny_llama(1), prompts(8)
    plain = decode_greedily(model, asked, max_new_tokens=STEPS, end_ids=ENDS, suppress=[TAG])
    assert plain == answers(model, asked, beams=1, candidates=1, steer=False)


@pytest.mark.parametrize("steer", [True, False])
def test_the_tag_is_never_emitted(steer: bool) -> None:
    model, asked = tiny_llama(2), prompts(8)
    wanted = [ids[0] for ids in decode_greedily(model, asked, max_new_tokens=1, end_ids=ENDS)]
    for tag in set(wanted):
        result = decode_safe_beam(
            model, asked, max_new_tokens=STEPS, tag_id=tag, end_ids=[], steer=steer, risk_floor=0
        )
        assert not any(tag in answer for answer in result.answers)


@pytest.mark.parametrize("steer", [True, False])
def test_forwards_are_counted_right(steer: bool) -> None:
    model, asked = tiny_llama(), prompts(2)
    tokens = []

    def count(module, args, kwargs):
        tokens.append(kwargs["input_ids"].numel())

    model.register_forward_pre_hook(count, with_kwargs=True)
    result = decode_safe_beam(
        model,
        asked,
        max_new_tokens=STEPS,
        tag_id=TAG,
        end_ids=[],
        beams=3,
        candidates=5,
        steer=steer,
    )
    assert result.forwards_per_step == 15
    assert tokens == [2 * max(map(len, asked))] + [2 * 15] * STEPS


def test_other_architectures_work() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=24, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.4
    )
    model, asked = GPT2LMHeadModel(config).eval(), prompts(4)
    search = {"beams": 2, "candidates": 3, "dropped_share": 0.5, "risk_floor": 0.0, "steer": True}
    expected = [literal_search(model, prompt, **search) for prompt in asked]
    assert answers(model, asked, **search) == expected


def test_memory_of_another_kind_is_an_error() -> None:
    states = SimpleNamespace(keys=torch.zeros(1), values=torch.zeros(1))  # no attention cache
    with pytest.raises(ValueError, match="not SimpleNamespace; choose decoder greedy or sample"):
        _cache_layers(SimpleNamespace(layers=[states]))  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_dropping_all_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="dropped_share"):
        answers(tiny_llama(), prompts(1), dropped_share=share)
