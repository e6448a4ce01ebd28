"""Typed settings of decoders, and of a guard in front of one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rebar.config.base import HarmScore, Positive, Settings, Share


class Greedy(Settings):
    """Most probable token at each step; the tag is never emitted."""

    method: Literal["greedy"]


class Sample(Settings):
    """Sampling from the nucleus."""

    method: Literal["sample"]
    temperature: float = Field(default=1.0, gt=0, description="softmax temperature")
    top_p: Share = Field(default=1.0, description="nucleus mass")


class Beam(Settings):
    """Beam search; `safebeam` steers away from the tag (2504.16980, 4.1), `beam` is its control."""

    method: Literal["beam", "safebeam"]
    beams: Positive = Field(default=4, description="k: beams kept")
    candidates: Positive = Field(default=4, description="N: next tokens tried per beam")
    dropped_share: Share = Field(
        default=0.5, description="share of candidates with most risk, dropped"
    )
    risk_floor: Share = Field(
        default=0.02, description="ours: risk below it never drops; 0 = as published"
    )


class Monitor(Settings):
    """What a guard reads a text with: the run's safety classifier, or a judge."""

    blocked_score: HarmScore | None = Field(
        default=None, description="texts that the run's safety classifier scores so, or higher"
    )
    judge: str | None = Field(
        default=None,
        description="instead: name of a judge; what it calls complied is blocked. As a monitor of "
        "the input it gets the input as prompt and as answer",
    )

    @model_validator(mode="after")
    def _one_reader(self) -> Monitor:
        if (self.blocked_score is None) == (self.judge is None):
            raise ValueError("give blocked_score: or judge:, one of them")
        return self


class Guarded(Settings):
    """A decoder behind a runtime guard: what comes in and what goes out is read by monitors.

    The guard stands outside of the weights: whoever holds them can leave it out.
    """

    method: Literal["guarded"]
    inner: Annotated[Greedy | Sample | Beam, Field(discriminator="method")] = Field(
        default=Greedy(method="greedy"), description="how answers are generated"
    )
    input: Monitor | None = Field(default=None, description="reads the prompt before the model")
    output: Monitor | None = Field(default=None, description="reads the answer")
    refusal: str = Field(
        default="I can't help with that.",
        description="the answer in place of what is blocked; `{prompt}` stands for the prompt",
    )

    @property
    def monitors(self) -> list[Monitor]:
        """Those that there are."""
        return [monitor for monitor in (self.input, self.output) if monitor is not None]

    @model_validator(mode="after")
    def _guards_something(self) -> Guarded:
        if not self.monitors:
            raise ValueError("a guard needs input:, output: or both")
        return self


Decoder = Annotated[Greedy | Sample | Beam | Guarded, Field(discriminator="method")]
