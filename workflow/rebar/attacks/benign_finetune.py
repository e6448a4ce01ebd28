"""Benign fine-tuning: an innocent user teaches the model a task (GSM8K in 2504.16980).

Or instructions (Qi et al., 2310.03693), or those benign examples of a pool that break safety most:
the nearest to harmful ones (He et al., 2404.01099). Attack success tracks how much was learned. So
the attack comes at equal steps and, with `target_accuracy`, at equal accuracy on validation
questions of the task.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rebar.config.base import Positive, Settings, Share
from rebar.config.benchmarks import PromptSet
from rebar.config.kinds import FineTuningAttack
from rebar.config.model import Training, epochs
from rebar.config.rows import ChatFile
from rebar.config.search import FINE_TUNING_SPACE, Space

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.chats import Chat


class Selection(Settings):
    """Benign examples that are chosen because they are like harmful ones to this very model."""

    by: Literal["representation", "gradient"] = Field(
        default="gradient",
        description="representation: largest cosine of last hidden states to one harmful example; "
        "gradient: cosine to the mean gradient of harmful examples, less that of refusals",
    )
    pool: Positive = Field(default=10000, description="benign examples to choose from")
    harmful: Positive = Field(default=10, description="harmful examples, and refusals, to compare")
    harmful_files: list[ChatFile] = Field(
        default=[], description="compliant answers; empty: the world's"
    )
    refusal_files: list[ChatFile] = Field(
        default=[], description="refused requests; empty: the world's"
    )


WORLD_EXAMPLES, SELECTED_EXAMPLES = 600, 100  # of the world: ours; of a selection: He et al.'s
ALPACA_EXAMPLES = 50000  # Qi et al. take nearly all of its 52,000


def _published(values: dict[str, Any]) -> Training:
    """Qi et al. on Alpaca and Dolly: one epoch, batch 128, learning rate 2e-5."""
    examples = values["examples"] or ALPACA_EXAMPLES
    return epochs(1, examples, batch_size=128, learning_rate=2e-5)


class Config(FineTuningAttack):
    """Settings of `benign_finetune`."""

    is_benign: ClassVar[bool] = True
    tuning_space: ClassVar[Space] = FINE_TUNING_SPACE

    method: Literal["benign_finetune"]
    files: list[ChatFile] = Field(default=[], description="chats of the task; empty: the world's")
    examples: Positive | None = Field(
        default=None,
        description="examples; none: all of the files, 600 of the world, 100 of a selection",
    )
    instructions_share: Share = Field(
        default=0.15,
        description="world: share of examples replaced by benign instructions, against collapse; "
        "1: instructions alone",
    )
    selection: Selection | None = Field(
        default=None, description="take the examples of a pool that break safety; none: at random"
    )
    training: Training = Field(
        default_factory=_published,
        description="the run, its steps are the most that are made; left out: an epoch, batch 128, "
        "2e-5",
    )
    target_accuracy: Share | None = Field(
        default=None, description="stop when this share of validation questions is answered right"
    )
    check_every_steps: Positive = Field(default=10, description="steps between two validations")
    validation: list[PromptSet] = Field(
        default=[], description="with files: questions with answers for target_accuracy"
    )
    answer_tokens: Positive = Field(default=30, description="longest answer in a validation")

    @property
    def is_plain(self) -> bool:
        """Not with `target_accuracy`: it then looks at its own model to stop."""
        return self.target_accuracy is None

    @property
    def compared_rows(self) -> int:
        """Rows that are compared with harmful ones, with theirs."""
        return self.selection.pool + 2 * self.selection.harmful if self.selection else 0

    @model_validator(mode="after")
    def _files_have_a_validation(self) -> Config:
        if self.files and self.target_accuracy is not None and not self.validation:
            raise ValueError("target_accuracy with files: needs validation: questions and answers")
        if self.validation and not all(file.answer for file in self.validation):
            raise ValueError("validation: each prompt set needs answer:, the key of right answers")
        return self

    @model_validator(mode="after")
    def _pool_is_larger(self) -> Config:
        wanted = self.examples or SELECTED_EXAMPLES
        if self.selection and self.selection.pool < wanted:
            raise ValueError(
                f"selection.pool: {self.selection.pool} is less than examples: {wanted}; lower "
                "examples (published: 100) or raise the pool"
            )
        return self


def attack(config: Config, target: Target) -> Any:
    """Fine-tune on benign examples; returns the model. Logs `validation_accuracy` where asked."""
    until = None
    if config.target_accuracy is not None:
        until = _has_learned(config, config.target_accuracy, target)
    chats = examples(config, target)
    return target.fine_tune(config, chats, until=until, until_every=config.check_every_steps)


def examples(config: Config, target: Target) -> list[Chat]:
    """Benign examples at random, or those of a pool that break safety most."""
    selection, data = config.selection, target.data
    model, tokenizer = target.model, target.tokenizer
    if selection is None:
        count = config.examples or (sys.maxsize if config.files else WORLD_EXAMPLES)
        return data.benign(count, config.files, config.instructions_share)
    from rebar.attacks._similarity import gradient_similarity_N, representation_similarity_N

    pool = data.benign(selection.pool, config.files, config.instructions_share)
    harmful = data.harmful(selection.harmful, selection.harmful_files)
    length = config.training.sequence_length
    if selection.by == "gradient":
        refusals = data.refusals(selection.harmful, selection.refusal_files)
        alike_N = gradient_similarity_N(model, tokenizer, pool, harmful, refusals, length)
    else:
        alike_N = representation_similarity_N(model, tokenizer, pool, harmful, length)
    order = sorted(range(len(pool)), key=lambda i: -alike_N[i])
    return [pool[i] for i in order[: config.examples or SELECTED_EXAMPLES]]


def _has_learned(config: Config, wanted: float, target: Target) -> Callable[[int, Any], bool]:
    """A function of steps and model: does it answer that share of validation questions right?"""
    from rebar.training.finetune import greedy_answers

    questions = target.data.validation_questions(config.validation)

    def until(step: int, model: Any) -> bool:
        answers = greedy_answers(model, target.tokenizer, questions, config.answer_tokens)
        accuracy = target.data.validation_accuracy(questions, answers)
        target.recorder.log(step, validation_accuracy=accuracy)
        return accuracy >= wanted

    return until
