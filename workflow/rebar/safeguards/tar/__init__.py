"""TAR: refusals that outlive the attacks of simulated adversaries (Tamirisa et al., 2408.00761).

In each step, for each of `tasks` adversaries, from the present weights: a fresh AdamW makes K steps
on harmful answers (or, after a random switch, on helpful ones first), at a constant learning rate
from a list. After every 4th step i the tamper-resistance loss is taken at the attacked weights,

    weight exp(.0625 (i - K + 1)) / tasks x L(attacked weights),

where L is minus the entropy of the next token on harmful text that this adversary does not train on
(`entropy`), or DPO's loss with refusals chosen and compliance rejected (`dpo`: refusals are put
behind the harmful rows' prompts). That text is held out as long as the safeguard's `examples` are
at least batch_size x tasks x (K + 1); with fewer they come round again. The gradient of L is added
as if it had been taken at the weights before the attack. Then, once, the gradient of the retain
loss on the run's own text: cross-entropy + mean over layers of ||h - h_frozen||.

`random_mapping_share` is the paper's first stage, in the same run: until then hidden states of
harmful text are turned towards a random vector per token, beside the cross-entropy of the run's own
text. The paper's outer optimiser is schedule-free AdamW (2e-5, 750 steps, batch 8; the first stage
1e-5, 1000 steps); here it is the run's. The authors' code can drop the tamper gradient below a
bound; their runs switch that off, and so do we.

Beside model and frozen model it holds: the weights before the attack, the adversary's two moments,
the sum of tamper gradients and one gradient.
"""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from rebar.config.base import Count, Positive, Share
from rebar.config.kinds import Place, SafeguardPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.training.safeguarded import Batches, State


class Config(SafeguardPart):
    """Settings of `tar`; the numbers are those of the authors' biology run."""

    places: ClassVar[tuple[Place, ...]] = ("own_stage",)
    reads_reference: ClassVar[bool] = True

    method: Literal["tar"]
    tamper_loss: Literal["entropy", "dpo"] = Field(
        default="entropy", description="what is to be low after an attack; dpo is for refusals"
    )
    dpo_beta: float = Field(default=0.1, gt=0, description="dpo: scale of the log-probabilities")
    tasks: Positive = Field(default=1, description="adversaries a step")
    inner_steps: Count = Field(default=64, description="K: steps of an adversary; 0: none")
    evaluate_every: Positive = Field(
        default=4, description="adversary's steps between two tamper-resistance losses"
    )
    learning_rates: tuple[float, ...] = Field(
        default=(2e-6, 2e-5, 4e-5), min_length=1, description="an adversary draws one"
    )
    weight_decay: float = Field(default=0.01, ge=0, description="of an adversary; AdamW's default")
    switch_share: Share = Field(
        default=0.33,
        description="share of adversaries that begin with Beta(6, 3) x K steps on helpful answers",
    )
    weight: float = Field(default=4.0, ge=0, description="of the tamper-resistance loss")
    weight_growth: float = Field(
        default=0.0625, ge=0, description="a loss weighs e times more after 1 / this steps"
    )
    retain_weight: float = Field(
        default=1.0, ge=0, description="of the distance to the frozen model's hidden states"
    )
    random_mapping_share: Share = Field(
        default=0.0,
        description="share of the run's steps that are the random-mapping stage; published: 1000 "
        "of 1750 steps against knowledge, none for refusals",
    )

    @model_validator(mode="after")
    def _is_evaluated(self) -> Config:
        if 0 < self.inner_steps < self.evaluate_every:
            raise ValueError(
                f"evaluate_every {self.evaluate_every} is more than inner_steps "
                f"{self.inner_steps}: no tamper-resistance loss would be taken; lower it"
            )
        return self

    @property
    def passes(self) -> float:
        """Forward-backward passes a step, on average over the run; one frozen forward beside."""
        attack = self.inner_steps + self.inner_steps // self.evaluate_every
        share = self.random_mapping_share
        return share * 2 + (1 - share) * (self.tasks * attack + 1)


class Adversary(NamedTuple):
    """What the shared seed draws for one task."""

    learning_rate: float
    switch_at: int  # steps on helpful answers before harmful ones


def gradient(config: Config, model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Retain gradient + tamper-resistance gradients at attacked weights; or random mapping's."""
    import torch

    from rebar.safeguards.tar.losses import retain_loss
    from rebar.training.checkpoints import trained_parameters
    from rebar.training.safeguarded import gradient_at

    if state.step < config.random_mapping_share * state.training.steps:
        return _random_mapping(model, batches, state)
    if state.reference is None:
        raise ValueError("tar needs state.reference, the frozen model that the run began with")
    total = {name: torch.zeros_like(p) for name, p in trained_parameters(model).items()}
    for task in range(config.tasks):
        _add_task(config, model, batches, state, task, total)
    loss = partial(retain_loss, reference=state.reference, weight=config.retain_weight)
    state.log["loss"], direction = gradient_at(model, batches.language, state, loss)
    for name, gradient in direction.items():
        gradient.add_(total[name])
    return direction


def adversary(config: Config, seed: int, step: int, task: int) -> Adversary:
    """The task's adversary, the same one in all processes."""
    rng = random.Random(f"{seed}/{step}/tar/{task}")
    rate = rng.choice(config.learning_rates)
    switches = rng.random() < config.switch_share
    return Adversary(rate, int(rng.betavariate(6, 3) * config.inner_steps) if switches else 0)


def evaluation_weight(config: Config, inner_step: int) -> float:
    """How much the loss after the 0-based inner step counts."""
    late = inner_step - config.inner_steps + 1
    return config.weight * math.exp(config.weight_growth * late) / config.tasks


def _add_task(
    config: Config,
    model: nn.Module,
    batches: Batches,
    state: State,
    task: int,
    total: dict[str, Tensor],
) -> None:
    """Attack the weights in place, add the tamper-resistance gradients to `total`, restore."""
    from torch.optim import AdamW

    from rebar.model.forward import language_loss
    from rebar.training.checkpoints import trained_parameters
    from rebar.training.gradients import preserve_weights, set_gradients
    from rebar.training.safeguarded import gradient_at

    rate, switch_at = adversary(config, state.seed, state.step, task)
    first = task * (config.inner_steps + 1)  # numbers of this task's batches
    held, loss = _tamper_loss(config, batches, state, first)
    with preserve_weights(model):
        weights = list(trained_parameters(model).values())
        optimizer = AdamW(weights, lr=rate, weight_decay=config.weight_decay, fused=True)
        for step in range(config.inner_steps):
            kind = "benign" if step < switch_at else "harmful"
            batch = batches.draw(kind, first + 1 + step)
            state.log["attack_loss"] = set_gradients(model, batch, state.training, language_loss)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if (step + 1) % config.evaluate_every == 0:
                state.log["tamper_loss"], found = gradient_at(model, held, state, loss)
                for name, gradient in found.items():
                    total[name].add_(gradient, alpha=evaluation_weight(config, step))


def _tamper_loss(config: Config, batches: Batches, state: State, number: int) -> tuple[Any, Any]:
    """The batch that stays the same during a task, and the loss on it."""
    from rebar.safeguards.tar.losses import Texts, negative_entropy, pairs, preference_loss

    harmful: Any = batches.draw("harmful", number)
    if config.tamper_loss == "entropy":
        return Texts(harmful.inputs_BT), negative_entropy
    refusal: Any = batches.draw("refusal", number)
    answers = pairs(refusal, harmful, state.reference)
    return answers, partial(preference_loss, beta=config.dpo_beta)


def _random_mapping(model: nn.Module, batches: Batches, state: State) -> dict[str, Tensor]:
    """Plain gradient + that of the distance of harmful text's states to random vectors."""
    from rebar.safeguards.tar.losses import Texts, mapping_loss
    from rebar.training.gradients import combine_gradients
    from rebar.training.safeguarded import gradient_at, plain_gradient

    plain = plain_gradient(model, batches, state)
    harmful: Any = batches.harmful
    loss = partial(mapping_loss, seed=state.seed)
    state.log["mapping_loss"], found = gradient_at(model, Texts(harmful.inputs_BT), state, loss)
    return combine_gradients((1.0, plain), (1.0, found))
