"""Which of given options a model prefers: log-probabilities of each after the same prompt.

No decoder takes part: the numbers are the model's own. Shapes: B options, T tokens, V vocabulary.
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
    """An option after a prompt: nats of all its tokens together, and how many they are."""

    log_probability: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token: length-normalised."""
        return self.log_probability / self.tokens


def option_scores(
    asker: Asker, texts: Sequence[str], options: Sequence[Sequence[str]]
) -> list[list[Scored]]:
    """Scores of each prompt's options, in their order; `texts` are what the model gets.

    An option goes on where its prompt ends: after a space for base models, as a template's answer
    begins for chat models. ValueError if an option has no token of its own.
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
    """Ids of prompt and option as one text, and how many of them are the prompt's.

    Cut where the prompt's own ids end, as lm-evaluation-harness does: a token may span the seam.
    """
    separator = "" if asker.chat or text[-1:].isspace() else " "
    first = len(encode(asker.tokenizer, text))
    ids = encode(asker.tokenizer, f"{text}{separator}{option}")
    if len(ids) <= first:
        raise ValueError(f"an option of {len(option)} characters has no token; give longer ones")
    return ids, first


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places in batches of like length, longest first, so that memory fails early."""
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
