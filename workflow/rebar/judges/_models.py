"""Models that judge: each is loaded once a process, onto the GPU if there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal

from rebar.config.paths import resolve


@cache
def load(kind: Literal["causal_lm", "classifier"], name: str, revision: str | None) -> Any:
    """Tokenizer (padding on the left for a causal LM) and model, in eval mode.

    `name` is a folder, a `package:` path or an id of the Hub. Code that comes with a model never
    runs. ValueError if it cannot be loaded.
    """
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    models = {"causal_lm": AutoModelForCausalLM, "classifier": AutoModelForSequenceClassification}
    path, commit = resolve(name), revision or "main"
    side = "left" if kind == "causal_lm" else "right"
    on_gpu = torch.cuda.is_available()
    options = {"revision": commit, "use_safetensors": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=commit, padding_side=side)
        dtype = torch.bfloat16 if on_gpu else torch.float32
        model = models[kind].from_pretrained(path, dtype=dtype, **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"judges: {kind}: cannot load '{name}': {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model.to("cuda" if on_gpu else "cpu").eval()


def batches(texts: Sequence[Any], size: int) -> Iterator[list[int]]:
    """Group texts of similar length, longest first: little padding, and memory runs out early."""
    order = sorted(range(len(texts)), key=lambda number: (-len(texts[number]), number))
    for start in range(0, len(order), size):
        yield order[start : start + size]
