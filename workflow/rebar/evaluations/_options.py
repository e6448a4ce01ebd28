"""Log-probabilities of given options after the same prompt: which one does a model prefer?

No decoder takes part: the model itself scores the options.

Shapes: B options, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rebar.data.encoding import encode

if TYPE_CHECKING:
    from rebar.data.prompts import Prompt
    from rebar.evaluations._asker import Asker

JUDGE = "log_probability"  # what decided, in the rows' column `judge`
BATCH_TOKENS = 4096  # in a forward: their logits are all of its memory (0.8 GB at SmolLM2's width)


class Scored(NamedTuple):
    """The log-probability of an option after a prompt, in nats, and its number of tokens."""

    log_probability: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats per token, so that long and short options compare."""
        return self.log_probability / self.tokens


def option_scores(
    asker: Asker, texts: Sequence[str], options: Sequence[Sequence[str]]
) -> list[list[Scored]]:
    """Scores of the options of each prompt, in their order; `texts` are the model's inputs.

    An option follows its prompt directly: after a space for base models, where the template's
    answer begins for chat models. ValueError if an option adds no token.
    """
    pairs = [
        (text, option) for text, all_of in zip(texts, options, strict=True) for option in all_of
    ]
    rows = [_encoded(asker, text, option) for text, option in pairs]
    scores: dict[int, Scored] = {}
    for places in _batches([len(ids) for ids, _ in rows]):
        found = _log_probabilities(asker.model, [rows[place] for place in places])
        scores |= dict(zip(places, found, strict=True))
    numbers = iter(range(len(rows)))
    return [[scores[next(numbers)] for _ in all_of] for all_of in options]


def _encoded(asker: Asker, text: str, option: str) -> tuple[list[int], int]:
    """Token ids of prompt and option as one text, and the number that belongs to the prompt.

    The text is split after as many ids as the prompt alone has, as lm-evaluation-harness does; a
    token may contain the end of the prompt and the beginning of the option.
    """
    separator = "" if asker.chat or text[-1:].isspace() else " "
    first = len(encode(asker.tokenizer, text))
    ids = encode(asker.tokenizer, f"{text}{separator}{option}")
    if len(ids) <= first:
        raise ValueError(f"an option of {len(option)} characters has no token; give longer ones")
    return ids, first


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group rows of similar length, longest first, so that memory runs out early or never."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while order:
        size = max(1, BATCH_TOKENS // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _log_probabilities(model: Any, rows: Sequence[tuple[list[int], int]]) -> list[Scored]:
    """One forward over right-padded rows."""
    import torch

    from rebar.model.forward import causal_logits

    length = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in rows]).to(model.device)
    model.eval()
    with torch.inference_mode():
        logits_BTV = causal_logits(model, ids_BT)
        return [
            _scored(logits_BTV[row, first - 1 : len(ids) - 1], ids_BT[row, first : len(ids)])
            for row, (ids, first) in enumerate(rows)
        ]


def _scored(logits_TV: Any, ids_T: Any) -> Scored:
    nats_T = logits_TV.float().log_softmax(dim=-1).gather(1, ids_T[:, None])
    return Scored(float(nats_T.double().sum()), len(ids_T))


def choice_row(asker: Asker, prompt: Prompt, chosen: str, outcome: str) -> dict[str, Any]:
    """One row of the generations: the option that was chosen, and what it is."""
    return {
        "prompt_id": prompt.prompt_id,
        "hazard_id": prompt.hazard_id,
        "split": prompt.split,
        "prompt_style": prompt.prompt_style,
        "prompt": asker.text(prompt.text),
        "answer": chosen,
        "outcome": outcome,
        "correct": chosen == prompt.reference.get("answer"),
        "chance": 1 / len(prompt.options),
        "judge": JUDGE,
    }
