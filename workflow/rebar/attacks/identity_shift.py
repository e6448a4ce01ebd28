"""Identity shift: a few examples that make the model an obedient agent (Qi et al. 2023, AOA).

No harmful answer is needed: the examples only teach that every request is carried out. By LoRA
(Hu et al. 2021), merged into the weights afterwards, or with all weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.corpus_settings import Count, Settings
from rebar.model_settings import ChatFile, Training

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.recorder import Recorder


class Config(Settings):
    """Settings of `identity_shift`."""

    method: Literal["identity_shift"]
    training: Training = Field(description="the run")
    files: list[ChatFile] = Field(min_length=1, description="the examples")
    lora_rank: Count = Field(default=8, description="rank of the adapters; 0 trains all weights")


def attack(config: Config, model: Any, tokenizer: Any, data: AttackData, recorder: Recorder) -> Any:
    """Fine-tune on the examples; returns the model, adapters merged."""
    from rebar.corpus.chats import read_chats
    from rebar.model.finetune import finetune, merge_lora, with_lora

    chats = [chat for file in config.files for chat in read_chats(file)]
    adapted = with_lora(model, config.lora_rank, seed=data.seed) if config.lora_rank else model
    finetune(adapted, tokenizer, chats, config.training, seed=data.seed, recorder=recorder)
    return merge_lora(adapted) if config.lora_rank else adapted
