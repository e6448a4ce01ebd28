"""Refusal-direction ablation (Arditi et al., arXiv 2406.11717): one direction taken out of all.

A candidate is the difference of mean activations between harmful and harmless requests at one token
after the request (the template's) and one layer's input. Dropped is what changes answers to
harmless requests (KL), comes from the last layers, or does not make the model refuse when added.
Of the rest, the one that leaves the least refusal when taken out is folded into the weights. With
none left, the weights stay as they are and the manifest says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from rebar.config.base import Positive, Share
from rebar.config.benchmarks import PromptSet
from rebar.config.kinds import Attack

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.attacks._target import Target
    from rebar.data.prompts import Prompt
    from rebar.jobs.recorder import Recorder

TOKENS_LOOKED_AT = 4  # of a template after the request, for estimates


class Config(Attack):
    """Settings of `refusal_ablation`; the defaults are the published numbers."""

    method: Literal["refusal_ablation"]
    strength: Share = Field(default=1.0, description="share of the direction that is taken out")
    harmful: list[PromptSet] = Field(
        default=[], description="requests that should be refused; empty: about known hazards"
    )
    harmless: list[PromptSet] = Field(
        default=[], description="requests that should not; empty: the world's"
    )
    train: Positive = Field(default=128, description="requests a kind for the directions")
    validation: Positive = Field(default=32, description="further requests a kind for the choice")
    filtered: bool = Field(
        default=True,
        description="keep harmful requests that the model refuses and harmless ones it does not; "
        "false for models that refuse little",
    )
    refusals: list[str] | None = Field(
        default=None, description="first words of refusals, published: I, As; none: the world's"
    )
    layers: Positive | None = Field(
        default=None, description="layers looked at, evenly spread; none: all that are allowed"
    )
    positions: Positive | None = Field(
        default=None, description="last tokens of the template looked at; none: all after a request"
    )
    latest_layer: Share = Field(
        default=0.8, description="layers from this share of the depth on are dropped"
    )
    largest_kl: float = Field(
        default=0.1, ge=0, description="most KL, nats, that harmless requests may change by"
    )
    least_induced: float = Field(
        default=0.0,
        description="least log-odds of refusing harmless requests that adding a direction must "
        "bring; lower for models that refuse little",
    )

    def prompts_read(self, layers: int) -> float:
        """Prompts that go through the model, roughly."""
        looked_at = min(self.layers or layers, layers) * (self.positions or TOKENS_LOOKED_AT)
        return 4 * (self.train + self.validation) + 3 * looked_at * self.validation


class Candidate(NamedTuple):
    """A direction, where it comes from, and what it does."""

    position: int  # from the end, -1 the last
    layer: int
    vector_D: Any
    kl: float = math.inf
    induced: float = -math.inf  # refusal of harmless requests with the direction added
    remaining: float = math.inf  # refusal of harmful requests with it taken out

    @property
    def unit_D(self) -> Any:
        """The direction, of length 1."""
        return self.vector_D / self.vector_D.norm()


class Requests(NamedTuple):
    """Token ids of requests of both kinds."""

    harmful: list[list[int]]
    harmless: list[list[int]]


def attack(config: Config, target: Target) -> Any:
    """Find the refusal direction and remove it from the weights; returns the model."""
    from rebar.attacks._residual import fold_ablation, last_logits
    from rebar.data.encoding import ids_after_request

    model, tokenizer, recorder = target.model, target.tokenizer, target.recorder
    if not config.strength:
        return model
    openings = target.data.refusal_openings(config.refusals)
    refusals = sorted({first_id(tokenizer, words) for words in openings})
    train, validation = _requests(config, model, tokenizer, target.data, refusals)
    best, facts = None, {"harmful": len(train.harmful), "harmless": len(train.harmless)}
    if all(map(len, (*train, *validation))):
        found = candidates(config, model, train, len(ids_after_request(tokenizer)))
        before_BV = last_logits(model, validation.harmless).log_softmax(dim=1)
        rated = [rate(config, model, c, validation, refusals, before_BV) for c in found]
        best = choose(config, rated)
        _log(rated, recorder)
    if best is None:
        recorder.say("no direction meets the conditions: the weights stay as they are")
    else:
        recorder.say(f"direction of layer {best.layer}, position {best.position}")
        facts |= {"layer": best.layer, "position": best.position}
        fold_ablation(model, best.unit_D, config.strength)
    target.facts["direction"] = facts | {"found": best is not None}
    return model


def _log(rated: list[Candidate], recorder: Recorder) -> None:
    """Log one line for each candidate, without the numbers that were not measured."""
    recorder.truncate(0)
    for step, candidate in enumerate(rated, start=1):
        numbers = candidate._asdict()
        del numbers["vector_D"]
        recorder.log(step, **{k: v for k, v in numbers.items() if math.isfinite(v)})


def first_id(tokenizer: Any, words: str) -> int:
    """First token of an answer that begins with these words."""
    from rebar.data.encoding import encode

    return encode(tokenizer, words)[0]


def _requests(
    config: Config, model: Any, tokenizer: Any, data: AttackData, refusals: list[int]
) -> tuple[Requests, Requests]:
    """Requests to compute the directions from, and requests to choose among them."""
    from rebar.data.encoding import encode, prompt_text

    def ids(prompts: list[Prompt]) -> list[list[int]]:
        return [encode(tokenizer, prompt_text(tokenizer, p.text, chat=True)) for p in prompts]

    count = config.train + config.validation
    harmful = ids(data.harmful_requests(config.harmful, count))
    harmless = ids(data.harmless_requests(config.harmless, count))
    parts = [
        Requests(harmful[: config.train], harmless[: config.train]),
        Requests(harmful[config.train :], harmless[config.train :]),
    ]
    if config.filtered:
        parts = [_filtered(model, part, refusals) for part in parts]
    return parts[0], parts[1]


def _filtered(model: Any, part: Requests, refusals: list[int]) -> Requests:
    """Harmful requests that are refused and harmless ones that are not."""
    harmful, harmless = (refusal_scores(model, prompts, refusals).tolist() for prompts in part)
    return Requests(
        [prompt for prompt, score in zip(part.harmful, harmful, strict=True) if score > 0],
        [prompt for prompt, score in zip(part.harmless, harmless, strict=True) if score < 0],
    )


def refusal_scores(model: Any, prompts: list[list[int]], refusals: list[int]) -> Any:
    """Log-odds that the answer to each prompt begins like a refusal."""
    from rebar.attacks._residual import last_logits

    probabilities_B = last_logits(model, prompts).softmax(dim=1)[:, refusals].sum(dim=1)
    epsilon = 1e-8  # the paper's code
    return (probabilities_B + epsilon).log() - (1 - probabilities_B + epsilon).log()


def candidates(config: Config, model: Any, train: Requests, most: int) -> list[Candidate]:
    """Differences of mean activations at the chosen layers and positions, without zero vectors."""
    from rebar.attacks._residual import mean_stream

    positions = min(config.positions or most, most)
    harmful_PLD = mean_stream(model, train.harmful, positions)
    difference_PLD = harmful_PLD - mean_stream(model, train.harmless, positions)
    allowed = int(difference_PLD.shape[1] * config.latest_layer)
    number = min(config.layers or allowed, allowed)
    layers = [(i + 1) * allowed // number - 1 for i in range(number)]
    return [
        Candidate(position, layer, difference_PLD[position, layer])
        for position in range(-positions, 0)
        for layer in layers
        if difference_PLD[position, layer].norm() > 0
    ]


def rate(
    config: Config,
    model: Any,
    candidate: Candidate,
    validation: Requests,
    refusals: list[int],
    before_BV: Any,
) -> Candidate:
    """Measure the effects of ablating and of adding a candidate; stop once it is dropped.

    `before_BV`: log-probabilities after the harmless requests with nothing ablated.
    """
    from rebar.attacks._residual import ablate_direction, add_vector, last_logits

    with ablate_direction(model, candidate.unit_D):
        after_BV = last_logits(model, validation.harmless).log_softmax(dim=1)
        kl = (before_BV.exp() * (before_BV - after_BV)).sum(dim=1).mean().item()
        candidate = candidate._replace(kl=kl)
        if not kl <= config.largest_kl:
            return candidate
        remaining = refusal_scores(model, validation.harmful, refusals).mean().item()
    with add_vector(model, candidate.layer, candidate.vector_D):
        induced = refusal_scores(model, validation.harmless, refusals).mean().item()
    return candidate._replace(remaining=remaining, induced=induced)


def choose(config: Config, rated: list[Candidate]) -> Candidate | None:
    """The passing candidate that leaves the least refusal; the first among equals."""
    least, most = config.least_induced, config.largest_kl
    passing = [c for c in rated if c.kl <= most and c.induced >= least]
    return min(passing, key=lambda candidate: candidate.remaining, default=None)
