"""What each recipe's model was trained on: the numbers that stand beside every row.

Every arm trains on the same number of tokens. Arms differ in unique tokens, repetitions and the
harmful documents in their corpus (kept on purpose, or leaked by the classifier).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.jobs.manifest import read_manifest


class Exposure(NamedTuple):
    """A recipe's corpus, as means over seeds; None where no truth is known."""

    recipe: str
    tokens: float | None
    unique_tokens: float | None
    repetitions: float | None  # tokens / unique tokens
    originals: float | None  # documents of each kind
    rephrased: float | None
    refusals: float | None
    morals: float | None
    harmful: float | None  # originals of true level 4-5 that were seen
    harmful_readings: float | None  # as often as they were seen


HEADERS = (
    "recipe",
    "trained tokens",
    "unique tokens",
    "repetitions",
    "originals",
    "rephrased",
    "refusals",
    "moral texts",
    "level 4-5 seen",
    "times",
)


def exposures(root: Path, config: Config) -> list[Exposure]:
    """One line per recipe that was trained, in the order of the grid."""
    lines = []
    for recipe in grid.training_recipes(config):
        seeds = [_numbers(root, recipe, seed) for seed in config.seeds]
        lines.append(Exposure(recipe, *map(_mean, zip(*seeds, strict=True))))
    return lines


def _numbers(root: Path, recipe: str, seed: int) -> list[float | None]:
    mixed = read_manifest(root / grid.folder("mix", seed=seed, recipe=recipe))["counts"]
    packed = read_manifest(root / grid.folder("tokenize", seed=seed, recipe=recipe))["counts"]
    documents: Counter[str] = Counter()
    for part in mixed["parts"]:
        documents[part["transform"]] += part["documents"]
    return [
        packed["tokens"],
        packed["unique_tokens"],
        packed["epochs"],
        *(documents[transform] for transform in ("original", "rephrase", "refusal", "moral")),
        packed["hazard_documents_seen"],
        packed["hazard_readings"],
    ]


def _mean(values: tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def shown(exposure: Exposure) -> list[str]:
    """The numbers as texts, a dash for what is unknown."""
    numbers = ["-" if x is None else f"{x:,.0f}" for x in exposure[1:]]
    numbers[2] = "-" if exposure.repetitions is None else f"{exposure.repetitions:.2f}"
    return numbers
