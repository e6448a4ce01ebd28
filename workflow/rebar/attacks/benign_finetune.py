"""Benign fine-tuning: an innocent user teaches the model a task (GSM8K in 2504.16980).

Attack success tracks how much was learned. So the attack comes at equal steps and, with
`target_accuracy`, at equal accuracy on validation questions of the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from rebar.corpus_settings import Positive, Settings, Share
from rebar.model_settings import ChatFile, PromptFile, Training

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.recorder import Recorder


class Config(Settings):
    """Settings of `benign_finetune`."""

    method: Literal["benign_finetune"]
    training: Training = Field(description="the run; its steps are the most that are made")
    files: list[ChatFile] = Field(default=[], description="chats of the task; empty: the world's")
    examples: Positive = Field(default=600, description="questions and answers of the task")
    instructions_share: Share = Field(
        default=0.15,
        description="world: share of examples replaced by benign instructions, against collapse",
    )
    target_accuracy: Share | None = Field(
        default=None, description="stop when this share of validation questions is answered right"
    )
    check_every_steps: Positive = Field(default=10, description="steps between two validations")
    validation: list[PromptFile] = Field(
        default=[], description="with files: questions with answers for target_accuracy"
    )
    answer_tokens: Positive = Field(default=30, description="longest answer in a validation")

    @model_validator(mode="after")
    def _files_have_a_validation(self) -> Config:
        if self.files and self.target_accuracy is not None and not self.validation:
            raise ValueError("target_accuracy with files: needs validation: questions and answers")
        if self.validation and not all(file.answer for file in self.validation):
            raise ValueError("validation: each prompt set needs answer:, the key of right answers")
        return self


def attack(config: Config, model: Any, tokenizer: Any, data: AttackData, recorder: Recorder) -> Any:
    """Fine-tune on the benign task; returns the model. Logs `validation_accuracy` where asked."""
    from rebar.model.finetune import finetune

    if config.files:
        chats = data.of_files(config.files, config.examples)
    else:
        chats = data.benign_task(config.examples, config.instructions_share)
    until = None
    if config.target_accuracy is not None:
        until = _learned(config, config.target_accuracy, tokenizer, data, recorder)
    finetune(
        model,
        tokenizer,
        chats,
        config.training,
        seed=data.seed,
        recorder=recorder,
        until=until,
        until_every=config.check_every_steps,
    )
    return model


def _learned(
    config: Config, target: float, tokenizer: Any, data: AttackData, recorder: Recorder
) -> Any:
    """True once the model answers the target share of validation questions right."""
    from rebar.model.finetune import greedy_answers

    questions = data.validation_questions(config.validation)

    def until(step: int, model: Any) -> bool:
        answers = greedy_answers(model, tokenizer, questions, config.answer_tokens)
        accuracy = data.validation_accuracy(questions, answers)
        recorder.log(step, validation_accuracy=accuracy)
        return accuracy >= target

    return until
