"""Harmful fine-tuning: an adversary trains on a few compliant answers (Qi et al. 2023).

The examples are of hazards that alignment data know; attack success is measured on others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.corpus_settings import Positive, Settings
from rebar.model_settings import ChatFile, Training

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.recorder import Recorder


class Config(Settings):
    """Settings of `harmful_finetune`."""

    method: Literal["harmful_finetune"]
    training: Training = Field(description="the run")
    examples: Positive = Field(description="compliant answers to train on")
    files: list[ChatFile] = Field(default=[], description="where they are; empty: the world's")


def attack(config: Config, model: Any, tokenizer: Any, data: AttackData, recorder: Recorder) -> Any:
    """Fine-tune on compliant answers; returns the model."""
    from rebar.model.finetune import finetune

    if config.files:
        chats = data.of_files(config.files, config.examples)
    else:
        chats = data.harmful(config.examples)
    finetune(model, tokenizer, chats, config.training, seed=data.seed, recorder=recorder)
    return model
