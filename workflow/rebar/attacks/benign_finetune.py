"""Benign fine-tuning: an innocent user teaches the model a task (GSM8K in 2504.16980).

Attack success tracks how much was learned. So the attack comes at equal steps and, with
`target_accuracy`, at equal accuracy on validation questions of the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.corpus_settings import Positive, Settings, Share
from rebar.model_settings import Training

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.recorder import Recorder


class Config(Settings):
    """Settings of `benign_finetune`."""

    method: Literal["benign_finetune"]
    training: Training = Field(description="the run; its steps are the most that are made")
    examples: Positive = Field(default=600, description="questions and answers of the task")
    instructions_share: Share = Field(
        default=0.15,
        description="share of examples replaced by benign instructions, against collapse",
    )
    target_accuracy: Share | None = Field(
        default=None, description="stop when this share of validation questions is answered right"
    )
    check_every_steps: Positive = Field(default=10, description="steps between two validations")


def attack(config: Config, model: Any, tokenizer: Any, data: AttackData, recorder: Recorder) -> Any:
    """Fine-tune on the benign task; returns the model. Logs `validation_accuracy` where asked."""
    from rebar.model.finetune import finetune

    chats = data.benign_task(config.examples, config.instructions_share)
    until = None
    if config.target_accuracy is not None:
        until = _learned(config.target_accuracy, tokenizer, data, recorder)
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


def _learned(target: float, tokenizer: Any, data: AttackData, recorder: Recorder) -> Any:
    """True once the model answers the target share of validation questions right."""
    from rebar.model.finetune import greedy_answers

    def until(step: int, model: Any) -> bool:
        questions = data.validation_questions()
        answers = greedy_answers(model, tokenizer, questions)
        accuracy = data.validation_accuracy(questions, answers)
        recorder.log(step, validation_accuracy=accuracy)
        return accuracy >= target

    return until
