"""Typed settings of a safeguard: where it acts, of which methods it is made, what it reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SerializeAsAny, model_validator

from rebar.config.base import Positive, Settings, Share
from rebar.config.kinds import SafeguardPart
from rebar.config.model import Training
from rebar.config.rows import ChatFile


class SafeguardData(Settings):
    """What a safeguard reads beside the text of its stage; no attack and no evaluation has it."""

    harmful: list[ChatFile] = Field(
        default=[], description="compliant answers to harmful requests; empty: the world's"
    )
    refusal: list[ChatFile] = Field(
        default=[], description="refusals of such requests; empty: the world's"
    )
    benign: list[ChatFile] = Field(
        default=[], description="helpful answers to harmless requests; empty: the world's"
    )
    examples: Positive = Field(default=256, description="chats of each kind")
    batch_size: Positive = Field(default=8, description="chats of each kind in a batch")
    sequence_length: Positive = Field(default=64, description="tokens per chat; longer ones cut")

    @property
    def reads_guarded(self) -> bool:
        """True if some of the data is about guarded hazards of the world."""
        return not (self.harmful and self.refusal)


class Safeguard(Settings):
    """A method, or several together, in one training run."""

    acts_in: Literal["pretraining", "alignment", "own_stage"] = Field(
        description="the run that it shapes: pretraining, alignment, or a run after both"
    )
    parts: list[SerializeAsAny[SafeguardPart]] = Field(
        min_length=1, description="methods, each with its own settings; several are a combination"
    )
    start: Share = Field(default=0.0, description="share of the run's steps before it begins")
    end: Share = Field(default=1.0, description="share of the run's steps at which it stops")
    ramp: Share = Field(
        default=0.0, description="share of the run's steps over which its strength rises from 0"
    )
    strength: float = Field(
        default=1.0, ge=0, description="how much of what its parts change is added; 0: plain"
    )
    training: Training | None = Field(
        default=None, description="own_stage: the run; the other places have theirs"
    )
    data: SafeguardData = Field(default=SafeguardData(), description="what it reads")

    @property
    def twins(self) -> list[str]:
        """Unsafeguarded models of the grid that its parts read: `recipe`, or `recipe/alignment`."""
        found = [twin for part in self.parts for twin in part.twins]
        return list(dict.fromkeys(found))

    @property
    def passes(self) -> float:
        """Mean number of forward-backward passes per step; all parts share the plain one."""
        added = sum(part.passes - 1 for part in self.parts)
        return 1 + (self.end - self.start) * added if self.strength else 1.0

    @model_validator(mode="after")
    def _fits_its_place(self) -> Safeguard:
        if self.start >= self.end:
            raise ValueError(f"start {self.start} must be before end {self.end}")
        if (self.training is not None) != (self.acts_in == "own_stage"):
            raise ValueError(
                "training: belongs to acts_in: own_stage, which needs it; in pretraining and "
                "alignment a safeguard acts in their own runs"
            )
        if self.acts_in == "pretraining":
            if not all(part.learns_text for part in self.parts):
                raise ValueError(
                    "language_weight of seam is 0: in pretraining nothing would learn the text; "
                    "set it to 1"
                )
        return self
