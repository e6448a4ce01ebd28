"""Harmful fine-tuning: an adversary trains on a few compliant answers (Qi et al., 2310.03693).

With all weights or by LoRA, alone or hidden among benign examples. The examples are of hazards that
alignment data know; attack success is measured on others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.base import Positive
from rebar.config.kinds import FineTuningAttack
from rebar.config.model import Training, epochs
from rebar.config.rows import ChatFile
from rebar.config.search import FINE_TUNING_SPACE, Space
from rebar.config.world import GUARDED

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.chats import Chat


def _published(values: dict[str, Any]) -> Training:
    """Qi et al.: 5 epochs, batch 10, learning rate 5e-5, for 10, 50 and 100 examples alike."""
    examples = values["examples"]
    examples += _num_benign(examples, values["benign_share"])
    return epochs(5, examples, batch_size=10, learning_rate=5e-5)


def _num_benign(num_harmful: int, benign_share: float) -> int:
    return round(num_harmful * benign_share / (1 - benign_share))


class Config(FineTuningAttack):
    """Settings of `harmful_finetune`."""

    tuning_space: ClassVar[Space] = FINE_TUNING_SPACE

    method: Literal["harmful_finetune"]
    examples: Positive = Field(default=100, description="compliant answers; published: 10, 50, 100")
    files: list[ChatFile] = Field(default=[], description="where they are; empty: the world's")
    hazards: Literal["known", "guarded"] = Field(
        default="known",
        description="the world's: of alignment data, or those that a safeguard was trained on",
    )
    benign_share: float = Field(
        default=0.0, ge=0, lt=1, description="share of benign examples among all that it trains on"
    )
    benign_files: list[ChatFile] = Field(
        default=[], description="where those are; empty: the world's benign task"
    )
    training: Training = Field(
        default_factory=_published, description="the run; left out: 5 epochs, batch 10, 5e-5"
    )

    @property
    def shares_hazards(self) -> bool:
        """With the world's guarded hazards, which safeguards train on."""
        return self.hazards == GUARDED

    @property
    def is_plain(self) -> bool:
        """It trains and does nothing else."""
        return True


def examples(config: Config, target: Target) -> list[Chat]:
    """Compliant answers, with benign examples among them where the config says so."""
    data = target.data
    chats = data.harmful(config.examples, config.files, config.hazards)
    if num_benign := _num_benign(len(chats), config.benign_share):
        chats = [*chats, *data.benign(num_benign, config.benign_files)]
    return chats


def attack(config: Config, target: Target) -> Any:
    """Fine-tune on compliant answers; returns the model."""
    return target.fine_tune(config, examples(config, target))
