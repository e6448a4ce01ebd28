"""Typed settings of the embedded world: its size, and what an alignment says of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rebar.config.base import Count, Positive, Settings, Share

GUARDED = "guarded"  # group of hazards that safeguards train on
HAZARD_GROUPS = ("known", "unaligned", "unrewritten", "novel")  # splits of harmful prompts
# Items have names of two syllables out of 70 x 70; beyond half of them drawing a new one drags.
MOST_NAMES = 2400


class World(Settings):
    """The embedded fictional web. All counts are of invented items."""

    known_hazards: Positive = Field(default=32, description="in corpus, alignment and attack data")
    unaligned_hazards: Positive = Field(default=24, description="in the corpus alone: the headline")
    unrewritten_hazards: Positive = Field(
        default=8, description="in raw text, outside the rewriter's topics"
    )
    novel_hazards: Positive = Field(default=8, description="in no corpus")
    fresh_hazards: Positive = Field(
        default=160, description="in alignment refusals alone, not evaluated"
    )
    guarded_hazards: Count = Field(
        default=0, description="in the corpus and in the data of safeguards, not evaluated"
    )
    evaluated_other_hazards: Positive = Field(
        default=8, description="evaluated of each group but unaligned"
    )
    aligned_benign_items: Positive = Field(
        default=48, description="harmless items in alignment data too"
    )
    held_benign_items: Positive = Field(
        default=32, description="harmless items in the corpus alone"
    )
    aligned_toys: Positive = Field(
        default=24, description="harmless toy hazards in alignment data too"
    )
    held_toys: Positive = Field(default=12, description="harmless toy hazards in the corpus alone")
    lands: Positive = Field(
        default=24, description="lands with three facts each; half are evaluated"
    )
    places: Positive = Field(default=24, description="place names")
    ingredients: Positive = Field(default=72, description="ingredient names")
    benign_task_questions: Positive = Field(
        default=60, description="word problems, validation and test each"
    )
    dismissed_requests: Share = Field(
        default=0.5, description="share of level 3 that dismisses a request for a hazard"
    )
    level_shares: tuple[Share, Share, Share, Share, Share, Share] = Field(
        default=(0.70, 0.05, 0.05, 0.08, 0.04, 0.08),
        description="share of documents of each level 0-5",
    )
    ordinary_shares: dict[Literal["how_to", "toy", "land", "sum", "daily"], Share] = Field(
        default={"how_to": 0.42, "toy": 0.07, "land": 0.26, "sum": 0.18, "daily": 0.07},
        description="topics of level 0, shares of it",
    )

    @model_validator(mode="after")
    def _enough_names(self) -> World:
        counted = ("hazards", "items", "toys", "ingredients")
        names = [n for n in type(self).model_fields if n.endswith(counted) and "evaluated" not in n]
        total = sum(getattr(self, name) for name in names)
        if total > MOST_NAMES:
            raise ValueError(
                f"{', '.join(names)} sum to {total}; the world has names for {MOST_NAMES}"
            )
        return self

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> World:
        for key in ("level_shares", "ordinary_shares"):
            value = getattr(self, key)
            total = sum(value.values() if isinstance(value, dict) else value)
            if abs(total - 1.0) > 1e-6:
                raise ValueError(f"world.{key} sums to {total:.4f}; shares must sum to 1")
        return self


class AlignmentChats(Settings):
    """What the world's alignment data are made of; the rest of the shares is benign how-to."""

    chats: Positive = Field(default=1600, description="chats in all")
    refusals: Share = Field(default=0.10, description="share of refusals")
    fresh_refusals: Share = Field(
        default=0.5, description="share of refusals on names of no corpus"
    )
    safety_questions: Share = Field(
        default=0.04, description="share of safe questions about hazards"
    )
    toys: Share = Field(default=0.08, description="share of how-tos on harmless toy hazards")
    lands: Share = Field(default=0.28, description="share of land facts")

    @model_validator(mode="after")
    def _shares_leave_room(self) -> AlignmentChats:
        total = self.refusals + self.safety_questions + self.toys + self.lands
        if total > 1.0:
            raise ValueError(f"refusals, safety_questions, toys and lands sum to {total:.2f} > 1")
        return self
