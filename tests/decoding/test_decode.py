import pytest
import torch

from rebar.decoding.decode import (
    batches_by_length,
    cut_at_end,
    decode_greedily,
    draw_tokens,
    prefill,
    sample_tokens,
)
from tests.model.tiny import prompts, tiny_llama

ENDS = [2, 9]


def generated(model, prompt, *, suppress, steps):
    """Plain transformers, one prompt at a time."""
    ids = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=steps,
        eos_token_id=ENDS,
        pad_token_id=0,
        suppress_tokens=suppress,
    )
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("batch_size", [3, 64])
def test_greedy_equals_generate(seed: int, batch_size: int) -> None:
    model, asked = tiny_llama(seed), prompts(8)
    free = decode_greedily(model, asked, max_new_tokens=12, end_ids=ENDS, batch_size=batch_size)
    assert free == [generated(model, prompt, suppress=None, steps=12) for prompt in asked]
    banned = sorted({ids[0] for ids in free})
    answers = decode_greedily(
        model, asked, max_new_tokens=12, end_ids=ENDS, suppress=banned, batch_size=batch_size
    )
    assert answers == [generated(model, prompt, suppress=banned, steps=12) for prompt in asked]
    assert not {token for answer in answers for token in answer} & set(banned)


def test_some_answers_end_and_some_are_cut() -> None:
    lengths = {
        len(ids)
        for seed in range(4)
        for ids in decode_greedily(tiny_llama(seed), prompts(8), max_new_tokens=12, end_ids=ENDS)
    }
    assert 12 in lengths and min(lengths) < 12  # else the test above shows little


@pytest.mark.parametrize(
    ("top_p", "chance", "token"),
    [
        (1.0, 0.49, 1),
        (1.0, 0.51, 2),
        (1.0, 0.79, 2),
        (1.0, 0.81, 0),
        (1.0, 0.9999999, 0),
        (1.0, 1.0, 0),
        (0.5, 0.99, 1),
        (0.6, 0.62, 1),
        (0.6, 0.63, 2),
        (0.6, 0.9999999, 2),
        (0.6, 1.0, 2),
        (1e-9, 0.99, 1),
    ],
)
def test_draw_takes_the_point_of_the_nucleus(top_p, chance, token) -> None:
    probabilities = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    drawn = draw_tokens(probabilities, top_p, torch.tensor([chance], dtype=torch.float64))
    assert drawn.tolist() == [token]


def test_samples_depend_on_seed_and_prompt_not_on_the_batch() -> None:
    model, asked = tiny_llama(deviation=0.1), prompts(7)
    common = {"max_new_tokens": 10, "end_ids": ENDS, "suppress": [5]}
    first = sample_tokens(model, asked, seed=1, **common)
    assert first == sample_tokens(model, asked, seed=1, batch_size=2, **common)
    assert first != sample_tokens(model, asked, seed=2, **common)
    assert not any(5 in answer for answer in first)


def test_samples_have_the_models_frequencies() -> None:
    model = tiny_llama(deviation=0.1)
    prompt = prompts(1)[0]
    drawn = sample_tokens(
        model, [prompt] * 2000, max_new_tokens=1, end_ids=[], temperature=0.7, seed=3
    )
    counts = torch.bincount(torch.tensor(drawn).flatten(), minlength=24) / 2000
    expected = (prefill(model, [prompt]).logits_BV[0] / 0.7).softmax(-1)
    assert (counts - expected).abs().max() < 4 * 0.5 / 2000**0.5


def test_cold_sampling_is_greedy() -> None:
    model, asked = tiny_llama(), prompts(4)
    cold = sample_tokens(model, asked, max_new_tokens=6, end_ids=ENDS, temperature=1e-4, seed=0)
    assert cold == decode_greedily(model, asked, max_new_tokens=6, end_ids=ENDS)


def test_until_end_keeps_the_first_end_token() -> None:
    assert cut_at_end([4, 9, 5, 2], ENDS) == [4, 9]
    assert cut_at_end([4, 5], ENDS) == [4, 5]


def test_batches_are_of_like_length_longest_first() -> None:
    asked = [[1] * length for length in (2, 5, 3, 5, 1)]
    assert list(batches_by_length(asked, 2)) == [[1, 3], [2, 0], [4]]


@pytest.mark.parametrize(("steps", "ends", "forwards"), [(5, [], 5), (5, range(24), 1)])
def test_no_forward_is_wasted(steps: int, ends: list[int], forwards: int) -> None:
    model = tiny_llama()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    decode_greedily(model, prompts(3), max_new_tokens=steps, end_ids=list(ends))
    assert len(calls) == forwards


def test_a_prompt_without_tokens_is_an_error() -> None:
    with pytest.raises(ValueError, match="prompt without tokens"):
        decode_greedily(tiny_llama(), [[4], []], max_new_tokens=2, end_ids=ENDS)
