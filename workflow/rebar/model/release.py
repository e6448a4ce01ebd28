"""Save a model as every stage does: with its end tokens, without the tag, with a model card."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rebar.data.tagging import TAG
from rebar.model.build import save_model

CARD = """---
library_name: transformers
---
# {title}

A research model of a Rebar grid. It may be trained on harmful text on purpose, or attacked: it is
an object of measurement, not an assistant. Settings, code version and inputs stand in
`manifest.json`; `generation_config.json` gives greedy answers like the stored ones.
"""


def release(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, title: str
) -> None:
    """Save a plain Hugging Face folder that `transformers` loads without Rebar.

    An answer ends with the end token, or where the next document would begin. The harmfulness tag,
    if the tokenizer has it, is suppressed.
    """
    vocabulary = tokenizer.get_vocab()
    ends = [vocabulary[t] for t in (tokenizer.eos_token, tokenizer.bos_token) if t in vocabulary]
    tag = [vocabulary[TAG]] if TAG in vocabulary else []
    card = CARD.format(title=title)
    save_model(model, tokenizer, folder, end_ids=ends, suppress_tokens=tag, card=card)
