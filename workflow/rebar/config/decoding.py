"""Typed settings of decoders and of runtime guards around them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rebar.config.base import HarmScore, Positive, Settings, Share


class Unguarded(Settings):
    """Base of decoders that generate answers themselves."""

    needs_tag: ClassVar[bool] = False  # it works with models that have learned the tag only

    @property
    def monitors(self) -> list[Monitor]:
        """Nothing reads what goes in or out."""
        return []

    @property
    def generator(self) -> Self:
        """The decoder that generates the answers."""
        return self

    @property
    def forwards_per_token(self) -> int:
        """Rows that go through the model for each token of an answer."""
        return 1


class Greedy(Unguarded):
    """Most probable token at each step; the tag is never emitted."""

    method: Literal["greedy"]


class Sample(Unguarded):
    """Sampling from the nucleus."""

    method: Literal["sample"]
    temperature: float = Field(default=1.0, gt=0, description="softmax temperature")
    top_p: Share = Field(default=1.0, description="nucleus mass")


class Beam(Unguarded):
    """Beam search; `safebeam` steers away from the tag (2504.16980, 4.1), `beam` is its control."""

    needs_tag: ClassVar[bool] = True

    method: Literal["beam", "safebeam"]
    beams: Positive = Field(default=4, description="k: beams kept")
    candidates: Positive = Field(default=4, description="N: next tokens tried per beam")
    dropped_share: Share = Field(
        default=0.5, description="share of candidates with most risk, dropped"
    )
    risk_floor: Share = Field(
        default=0.02, description="ours: risk below it never drops; 0 = as published"
    )

    @property
    def forwards_per_token(self) -> int:
        """A row for each beam; `safebeam` also looks one token ahead of each candidate."""
        return self.beams * (self.candidates if self.method == "safebeam" else 1)


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
        """Of the input, the output or both."""
        return [monitor for monitor in (self.input, self.output) if monitor is not None]

    @property
    def generator(self) -> Greedy | Sample | Beam:
        """The decoder that generates the answers."""
        return self.inner

    @model_validator(mode="after")
    def _guards_something(self) -> Guarded:
        if not self.monitors:
            raise ValueError("a guard needs input:, output: or both")
        return self


Decoder = Annotated[Greedy | Sample | Beam | Guarded, Field(discriminator="method")]
