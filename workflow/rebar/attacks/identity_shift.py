"""Identity shift: a few examples that make the model an obedient agent.

No harmful answer is needed: the examples only teach that every request is carried out (Qi et al.
2023, arXiv 2310.03693, "AOA"). By LoRA (Hu et al. 2021, 2106.09685), merged into the weights
afterwards, or with all weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.base import Count
from rebar.config.kinds import FineTuningAttack
from rebar.config.model import Training, epochs
from rebar.config.rows import ChatFile
from rebar.config.search import FINE_TUNING_SPACE, Space

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.chats import Chat


class Config(FineTuningAttack):
    """Settings of `identity_shift`."""

    tuning_space: ClassVar[Space] = FINE_TUNING_SPACE

    method: Literal["identity_shift"]
    training: Training = Field(
        default=epochs(10, 10, batch_size=10, learning_rate=5e-5),
        description="the run; the default is Qi et al.'s: 10 epochs on 10 examples",
    )
    files: list[ChatFile] = Field(min_length=1, description="the examples")
    lora_rank: Count = Field(default=8, description="rank of the adapters; 0 trains all weights")

    @property
    def is_plain(self) -> bool:
        """It trains and does nothing else."""
        return True


def examples(config: Config, target: Target) -> list[Chat]:
    """All examples of the files."""
    return target.data.all_of_files(config.files)


def attack(config: Config, target: Target) -> Any:
    """Fine-tune on the examples; returns the model, adapters merged."""
    return target.fine_tune(config, examples(config, target))
