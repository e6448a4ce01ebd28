"""MLAC, self-destructing models: an adversary's fine-tuning is to stay poor (2211.14946).

    plain loss - weight x mean over k = 0..K of m(theta_k),

where theta_k are the weights after k steps of Adam on harmful answers, from the present weights,
and m is what the adversary's loss comes to on harmful answers that it does not train on. The
gradient is exact: it goes through the steps (second order). `measure` is

- log_loss (ours, the default): log(1 + cross-entropy), whose ascent slows down as it succeeds;
- loss: the cross-entropy, the paper's `bad_adapted`; unbounded, so it can take over;
- linear: cross-entropy of the best linear map on top of the logits, entries in [-1, 1]: the paper's
  own choice, for 2 classes. Of a language model (ours) the classes are the `linear_words` commonest
  words of the answers: a matrix over the vocabulary would be its square.

`head: learned` gives the adversary a read-out of its own, which is trained from step to step, as is
its learning rate, by Adam to make the same mean low: so the model learns against a near-optimal
adversary, not against a stale one. `own` lets it begin with the model's read-out.
The paper's run: Adam 1e-4, gradient clip 10, batch 10, 50,000 steps, a 2-layer encoder; its inner
batches have 8, 16 or 24 examples, ours the size of the safeguard's data. Its penalty on the norm of
adapted gradients, 0 in the reported run, is not here.

The adversary's part is in float32 at least and is not split: each of several processes computes it
whole. Memory holds the graph of `checkpoint_every` steps (0: all K), about ten models' worth a
step and its activations.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from rebar.config.base import Count, Positive
from rebar.config.kinds import Place, SafeguardPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.safeguards.mlac.unrolled import Adapted, Weights
    from rebar.training.safeguarded import Batches, State

HEAD, LOG_RATE, UPDATES = "head", "log_rate", "updates"  # keys of the memory


class Config(SafeguardPart):
    """Settings of `mlac`."""

    places: ClassVar[tuple[Place, ...]] = ("own_stage",)

    method: Literal["mlac"]
    weight: float = Field(default=1.0, ge=0, description="of the adversary's mean loss")
    measure: Literal["log_loss", "loss", "linear"] = Field(
        default="log_loss", description="the adversary's loss that is to stay high"
    )
    linear_words: Positive = Field(
        default=32, description="linear: words that it tells apart; at most the model's width"
    )
    inner_steps: Count = Field(
        default=16, description="K: steps of the adversary; 0: its loss before any (AC)"
    )
    inner_clip: float = Field(default=100.0, gt=0, description="largest norm of its gradients")
    head: Literal["learned", "own"] = Field(
        default="learned", description="read-out with which an adversary begins"
    )
    learning_rate: Literal["learned", "drawn"] = Field(
        default="learned", description="the adversary's: trained, or log-uniform in each step"
    )
    initial_rate: float = Field(default=3e-4, gt=0, description="learned: where it begins")
    rate_bounds: tuple[float, float] = Field(
        default=(1e-6, 1e-2), description="learned: smallest and largest"
    )
    drawn_rates: tuple[float, float] = Field(
        default=(1e-4, 1e-2), description="drawn: smallest and largest"
    )
    adversary_rate: float = Field(
        default=1e-4, ge=0, description="learning rate of the learned head and rate (Adam)"
    )
    checkpoint_every: Count = Field(
        default=0, description="steps differentiated at once, for less memory; 0: all (authors: 5)"
    )

    @model_validator(mode="after")
    def _has_ranges(self) -> Config:
        for key in ("rate_bounds", "drawn_rates"):
            low, high = getattr(self, key)
            if not 0 < low <= high:
                raise ValueError(f"{key}: [{low}, {high}] must be [smallest, largest], over 0")
        low, high = self.rate_bounds
        if not low <= self.initial_rate <= high:
            raise ValueError(
                f"initial_rate {self.initial_rate} is outside of rate_bounds [{low}, {high}]"
            )
        return self

    @property
    def passes(self) -> float:
        """Forward passes a step: K twice differentiated ones, K + 1 outer ones, the plain one."""
        every = self.checkpoint_every or max(1, self.inner_steps)
        again = max(0, self.inner_steps - 1) // every * every  # but for the last segment
        return 2 * self.inner_steps + 2 + again


class Adversary(NamedTuple):
    """Where this step's adversary begins."""

    head_name: str | None  # of a read-out that is its own
    learned: Weights  # that read-out and the log of the learning rate, as far as they are learned
    rate: Tensor


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Plain gradient - weight x the exact one of the adversary's mean loss."""
    from rebar.training.gradients import combine_gradients
    from rebar.training.safeguarded import plain_gradient

    plain = plain_gradient(model, batches, state)
    adversary = _adversary(config, model, state)
    found = _adapted(config, model, batches, adversary)
    _train(config, adversary, found, state)
    state.log |= {
        "adapted_loss": found.values.mean(),
        "adapted_loss_first": found.values[0],
        "adapted_loss_last": found.values[-1],
        "adversary_rate": adversary.rate,
    }
    harder = {name: found.gradient[name].to(g.dtype) for name, g in plain.items()}
    if adversary.head_name in harder:  # its read-out is not the model's
        harder[adversary.head_name].zero_()
    return combine_gradients((1.0, plain), (-config.weight, harder))


def _adversary(config: Config, model: Any, state: State) -> Adversary:
    """The adversary with what it has learned so far, or at its start."""
    import torch

    learned, head_name, like = {}, None, next(model.parameters())
    if config.head == "learned":
        head = model.get_output_embeddings()
        head_name = next(name for name, module in model.named_modules() if module is head)
        head_name += ".weight"
        learned[HEAD] = state.memory.get(HEAD, _wide(head.weight).clone())
    if config.learning_rate == "learned":
        begin = torch.tensor(math.log(config.initial_rate), device=like.device)
        learned[LOG_RATE] = state.memory.get(LOG_RATE, begin.to(_wide(like).dtype))
        return Adversary(head_name, learned, learned[LOG_RATE].exp())
    low, high = (math.log(rate) for rate in config.drawn_rates)
    drawn = random.Random(f"{state.seed}/{state.step}/mlac/rate").uniform(low, high)
    return Adversary(head_name, learned, _wide(like).new_tensor(math.exp(drawn)))


def _adapted(config: Config, model: Any, batches: Batches, adversary: Adversary) -> Adapted:
    """The adversary's mean loss and its derivatives."""
    from rebar.safeguards.mlac.unrolled import adapted
    from rebar.training.checkpoints import trained_parameters
    from rebar.training.functional import WeightFunction

    start = {name: _wide(p) for name, p in trained_parameters(model).items()}
    tied = adversary.head_name is None
    if adversary.head_name is not None:
        start[adversary.head_name] = adversary.learned[HEAD]
    device = next(model.parameters()).device
    loss = WeightFunction(model, tied=tied)

    def inner_loss(weights: Weights, step: int) -> Tensor:
        batch = batches.draw("harmful", step + 1)
        return loss.at(weights, *(part.to(device) for part in batch))

    measure, held = _measure(config), [part.to(device) for part in batches.harmful]
    measured = WeightFunction(model, measure, tied=tied)
    return adapted(
        start,
        adversary.rate,
        inner_loss,
        lambda weights: measured.at(weights, *held),
        steps=config.inner_steps,
        clip=config.inner_clip,
        segment=config.checkpoint_every,
    )


def _measure(config: Config) -> Callable[..., Tensor]:
    """The function of model, inputs and targets that is to stay high."""
    from rebar.data.encoding import IGNORED
    from rebar.model.forward import causal_logits, language_loss
    from rebar.safeguards.mlac.linear_adversary import best_linear_word_loss

    def linear(model: Any, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        counts_BT = targets_BT != IGNORED
        logits_NV = causal_logits(model, inputs_BT)[counts_BT]
        return best_linear_word_loss(logits_NV, targets_BT[counts_BT], config.linear_words)

    if config.measure == "linear":
        return linear
    if config.measure == "loss":
        return language_loss
    return lambda *arguments: language_loss(*arguments).log1p()


def _train(config: Config, adversary: Adversary, found: Adapted, state: State) -> None:
    """One step of Adam for what the adversary learns, towards a lower loss."""
    from rebar.safeguards.mlac.unrolled import Moments, adam_step, no_moments

    if not adversary.learned:
        return
    gradients = {}
    if adversary.head_name is not None:
        gradients[HEAD] = found.gradient[adversary.head_name]
    if LOG_RATE in adversary.learned:
        gradients[LOG_RATE] = found.rate_gradient * adversary.rate
    moments, memory = no_moments(gradients), state.memory
    if UPDATES in memory:
        parts = ({n: memory[f"{part}.{n}"] for n in gradients} for part in Moments._fields)
        moments = Moments(*parts)
    updates = memory.get(UPDATES, adversary.rate.new_zeros(())) + 1
    learned, moments = adam_step(
        adversary.learned, gradients, moments, int(updates), config.adversary_rate
    )
    if LOG_RATE in learned:
        low, high = (math.log(rate) for rate in config.rate_bounds)
        learned[LOG_RATE] = learned[LOG_RATE].clamp(low, high)
    memory |= learned | {UPDATES: updates}
    for part, values in zip(Moments._fields, moments, strict=True):
        memory |= {f"{part}.{name}": value for name, value in values.items()}


def _wide(tensor: Tensor) -> Tensor:
    """The tensor without history, in float32 or wider."""
    import torch

    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
