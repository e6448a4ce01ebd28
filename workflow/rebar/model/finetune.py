"""Fine-tuning a chat model on a list of chats, with all weights or by LoRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from rebar.corpus.chats import Chat
from rebar.corpus.encoding import encode, encode_chats, prompt_text
from rebar.corpus.prompts import Prompt
from rebar.model.batches import row_batches
from rebar.model.decode import greedy
from rebar.model.generate import end_ids, suppressed_ids
from rebar.model.train import train
from rebar.model_settings import Training
from rebar.recorder import Recorder


def finetune(
    model: Any,
    tokenizer: Any,
    chats: Sequence[Chat],
    training: Training,
    *,
    seed: int,
    recorder: Recorder,
    until: Callable[[int, Any], bool] | None = None,
    until_every: int = 1,
) -> None:
    """Train `model` in place on the answers of the chats; checkpoints go beside the metrics."""
    rows = encode_chats(tokenizer, chats, training.sequence_length)
    tensors = (torch.from_numpy(part) for part in rows)
    batch_at = row_batches(*tensors, batch_size=training.batch_size, seed=seed)
    result = train(
        model,
        batch_at,
        training,
        recorder,
        checkpoint_folder=recorder.folder,
        until=until,
        until_every=until_every,
        identity=recorder.identity,
    )
    recorder.add_costs(**result.costs)


def greedy_answers(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], max_new_tokens: int
) -> list[str]:
    """Greedy answers of a chat model, without special tokens."""
    ids = [encode(tokenizer, prompt_text(tokenizer, p.text, chat=True)) for p in prompts]
    answers = greedy(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        suppress=suppressed_ids(model),
        end_ids=end_ids(model),
    )
    return [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]


def with_lora(model: Any, rank: int, *, seed: int) -> Any:
    """The model with LoRA adapters on all linear layers; only they train."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def merge_lora(model: Any) -> Any:
    """The plain model with the adapters folded into its weights."""
    return model.merge_and_unload()
