"""What the SafeLM paper and its independent tests report, quoted to stand beside our numbers.

Maini et al., "Safety Pretraining" (arXiv 2504.16980; NeurIPS 2025): attack success in per cent,
one seed, no error bars. The red-teaming is O'Brien et al., "Deep Ignorance" (arXiv 2508.06601).
"""

from __future__ import annotations

from typing import NamedTuple

BASE, ALIGNED, BENIGN = STATES = ("base", "aligned", "benign_finetune")
FIGURE_2 = "Fig. 2"
FIGURE_4 = "v1 Fig. 4 = NeurIPS Fig. 2 right"
LEVELS = (
    "Levels are not comparable with ours (1.7B parameters, 600B tokens, real harms, one judge "
    "model v. an exact judge of a small world); signs of differences are."
)


class Quote(NamedTuple):
    """Attack success of one model of the paper, per cent."""

    recipe: str
    decoder: str  # the method: greedy stands for the paper's ordinary decoding
    state: str
    percent: float
    source: str
    note: str = ""
    alignment: str | None = None  # none: the ordinary one


QUOTES = (
    Quote("raw", "greedy", BASE, 44.1, FIGURE_2),
    Quote("moral", "greedy", BASE, 28.8, FIGURE_2, "'safety pretraining'"),
    Quote("safelm", "safebeam", BASE, 11.6, FIGURE_2, "needs the tag and SafeBeam"),
    Quote("raw", "greedy", ALIGNED, 1.6, FIGURE_2),
    Quote("moral", "greedy", ALIGNED, 0.7, FIGURE_2),
    Quote("safelm", "safebeam", ALIGNED, 0.0, FIGURE_2),
    Quote("score0", "greedy", BENIGN, 43.8, FIGURE_4),
    Quote("raw", "greedy", BENIGN, 38.8, FIGURE_4),
    Quote("rephrase", "greedy", BENIGN, 33.6, FIGURE_4),
    Quote("refusal", "greedy", BENIGN, 25.1, FIGURE_4),
    Quote("moral", "greedy", BENIGN, 23.0, FIGURE_4, "prose of v1 says 20.0"),
    Quote("safelm", "safebeam", BENIGN, 8.3, FIGURE_2, "abstract says 8.4"),
    Quote("raw", "safebeam", BENIGN, 30.0, "sec. 7.2", "about; tags only in SFT", "sft_tag"),
    Quote("raw_tag", "safebeam", BENIGN, 10.0, "sec. 7.1", "about; tags, no other safety data"),
)


class Ordering(NamedTuple):
    """The paper has `higher` above `lower` in attack success."""

    higher: Quote
    lower: Quote

    @property
    def points(self) -> float:
        """The paper's difference, percentage points."""
        return self.higher.percent - self.lower.percent

    @property
    def source(self) -> str:
        """Where both numbers stand."""
        return "; ".join(dict.fromkeys((self.higher.source, self.lower.source)))


def _orderings(state: str, *pairs: tuple[str, str]) -> list[Ordering]:
    quotes = {f"{q.recipe} {q.alignment or ''}".strip(): q for q in QUOTES if q.state == state}
    return [Ordering(quotes[higher], quotes[lower]) for higher, lower in pairs]


ORDERINGS = (
    *_orderings(BASE, ("raw", "moral"), ("moral", "safelm"), ("raw", "safelm")),
    *_orderings(ALIGNED, ("raw", "moral"), ("moral", "safelm")),
    *_orderings(
        BENIGN,
        ("score0", "raw"),
        ("raw", "rephrase"),
        ("rephrase", "refusal"),
        ("refusal", "moral"),
        ("moral", "safelm"),
        ("raw", "moral"),
        ("raw", "safelm"),
        ("raw", "raw_tag"),
        ("raw", "raw sft_tag"),
        ("raw sft_tag", "safelm"),
    ),
)


class RedTeaming(NamedTuple):
    """Jailbreak success (0-1) on released SafeLM checkpoints under six attacks."""

    defence: str
    data: str
    capability: float
    none: float
    few_shot: float
    suffix: float
    latent: float
    full_finetune: float
    lora_finetune: float


RED_TEAMING = (
    RedTeaming("none", "raw", 0.48, 0.16, 0.67, 0.01, 0.08, 0.55, 0.54),
    RedTeaming("none", "filtered", 0.48, 0.00, 0.85, 0.00, 0.00, 0.56, 0.57),
    RedTeaming("CB", "raw", 0.48, 0.00, 0.34, 0.00, 0.00, 0.51, 0.56),
    RedTeaming("CB", "filtered", 0.46, 0.00, 0.25, 0.00, 0.00, 0.38, 0.41),
    RedTeaming("CB+LAT", "raw", 0.47, 0.00, 0.09, 0.00, 0.00, 0.57, 0.55),
    RedTeaming("CB+LAT", "filtered", 0.44, 0.00, 0.70, 0.00, 0.00, 0.48, 0.50),
    RedTeaming("SDT", "raw", 0.46, 0.24, 0.29, 0.29, 0.33, 0.55, 0.56),
    RedTeaming("SDT", "filtered", 0.48, 0.27, 0.83, 0.29, 0.37, 0.60, 0.59),
)
RED_TEAMING_SOURCE = (
    "O'Brien et al. 2025 (arXiv 2508.06601), App. G, Fig. 10: released 1.7B instruct models; "
    "fine-tuning: 5 epochs on 3,900 harmful examples; 250 held-out prompts, StrongReject judged by "
    "GPT-4o. Over-refusal was not reported; general capability stands beside."
)
RED_TEAMING_FINDINGS = (
    "Adversarial fine-tuning breaks the filtered SafeLM as it breaks the raw one (0.56-0.57 v. "
    "0.54-0.55), and few-shot prompts break it more (0.85 v. 0.67): filtering removes knowledge, "
    "it does not hold back compliance.",
    "Abliteration (arXiv 2510.02768; 50 harmful prompts, refusals before -> "
    "after, with refusals of 50 harmless ones): raw 46 -> 45 (2 -> 1), score-0 46 -> 41 (3 -> 1), "
    "+ rephrasing 49 -> 34 (2 -> 5), + refusals 48 -> 48 (1 -> 1), full with tags 49 -> 47 "
    "(4 -> 3). Judges disagreed widely.",
    "A public abliteration of safelm-1.7b-instruct left 41 of 416 refusals at KL <= 0.05, after "
    "1,200 trials instead of the usual 200-400 (model card of safelm-1.7b-heretic).",
)


def quoted(recipe: str, method: str, state: str, alignment: str | None = None) -> Quote | None:
    """The paper's number of a row and column; None where it has none."""
    key = (recipe, method, state, alignment)
    return next((q for q in QUOTES if (q.recipe, q.decoder, q.state, q.alignment) == key), None)
