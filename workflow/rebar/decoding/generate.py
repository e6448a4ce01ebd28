"""Answers of a model with the decoder that the settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rebar.config.decoding import Beam, Decoder, Guarded, Sample
from rebar.data.tagging import TAG
from rebar.decoding.decode import decode_greedily, sample_tokens
from rebar.decoding.safebeam import decode_safe_beam


class Generated(NamedTuple):
    """New ids for each prompt, including end tokens, and the forward passes per step and prompt."""

    answers: list[list[int]]
    forwards_per_step: float


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    decoder: Decoder,
    *,
    max_new_tokens: int,
    seed: int,
) -> Generated:
    """Generate new token ids for each prompt with the given decoder.

    For a decoder with a guard this runs the inner decoder only: a guard reads texts, not tokens.
    """
    # The guard judges finished answers, so decoding itself is the inner decoder's.
    decoder = decoder.inner if isinstance(decoder, Guarded) else decoder
    ends = end_ids(model)
    if isinstance(decoder, Beam):
        result = decode_safe_beam(
            model,
            prompts,
            max_new_tokens=max_new_tokens,
            tag_id=tokenizer.convert_tokens_to_ids(TAG),
            end_ids=ends,
            beams=decoder.beams,
            candidates=decoder.candidates,
            dropped_share=decoder.dropped_share,
            risk_floor=decoder.risk_floor,
            steer=decoder.method == "safebeam",
        )
        return Generated(result.answers, result.forwards_per_step)
    # SafeBeam needs the tag's probability, so only the other decoders suppress it.
    common = {"max_new_tokens": max_new_tokens, "end_ids": ends, "suppress": suppressed_ids(model)}
    if isinstance(decoder, Sample):
        chance = {"temperature": decoder.temperature, "top_p": decoder.top_p, "seed": seed}
        return Generated(sample_tokens(model, prompts, **chance, **common), 1)
    return Generated(decode_greedily(model, prompts, **common), 1)


def end_ids(model: Any) -> list[int]:
    """Ids of the tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    return list(ends) if isinstance(ends, list | tuple) else [ends]


def suppressed_ids(model: Any) -> list[int]:
    """Ids that decoding never emits (the harmfulness tag)."""
    return list(model.generation_config.suppress_tokens or [])
