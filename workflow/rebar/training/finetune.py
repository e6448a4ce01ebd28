"""Fine-tune a chat model on a list of chats, with all weights or with LoRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from rebar.config.model import FineTuning, Training
from rebar.data.chats import Chat
from rebar.data.encoding import encode, encode_chats, prompt_text
from rebar.data.prompts import Prompt
from rebar.decoding.decode import decode_greedily
from rebar.decoding.generate import end_ids, suppressed_ids
from rebar.jobs.recorder import Recorder
from rebar.training.batches import Batch, row_batches
from rebar.training.train import train

Until = Callable[[int, Any], bool]  # steps done and model; True ends the run


def finetune(
    model: Any,
    tokenizer: Any,
    chats: Sequence[Chat],
    training: Training,
    *,
    seed: int,
    recorder: Recorder,
    first: Sequence[Chat] = (),
    first_steps: int = 0,
    until: Until | None = None,
    until_every: int = 1,
) -> None:
    """Train `model` in place on the answers of the chats; checkpoints go beside the metrics.

    The first `first_steps` of the steps are on the chats `first`. `recorder.watch`, if there is
    one, sees the model after every step.
    """
    batch_at = chat_batches(tokenizer, chats, training, seed)
    if first_steps:
        batch_at = _chain_batches(
            chat_batches(tokenizer, first, training, seed), first_steps, batch_at
        )
    until, until_every = _call_after_every_step(until, until_every, recorder.watch)
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


def finetune_and_merge(
    config: FineTuning,
    model: Any,
    tokenizer: Any,
    chats: Sequence[Chat],
    training: Training,
    **how: Any,
) -> Any:
    """The model after `finetune` with all weights or, as the settings say, by merged LoRA."""
    if not config.lora_rank:
        finetune(model, tokenizer, chats, training, **how)
        return model
    adapted = add_lora(model, config, seed=how["seed"])
    finetune(adapted, tokenizer, chats, training, **how)
    return adapted.merge_and_unload()


def add_lora(model: Any, config: FineTuning, *, seed: int) -> Any:
    """The model with LoRA adapters (Hu et al. 2021, arXiv 2106.09685); only they are trained.

    They have no dropout.
    """
    from peft import LoraConfig, get_peft_model

    # peft draws the adapters' start weights from torch's global generator.
    torch.manual_seed(seed)
    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules=config.lora_targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, adapters)


def chat_batches(
    tokenizer: Any, chats: Sequence[Chat], training: Training, seed: int
) -> Callable[[int], Batch]:
    """Batches of the chats in shuffled epochs, as a function of the step."""
    rows = encode_chats(tokenizer, chats, training.sequence_length)
    tensors = (torch.from_numpy(part) for part in rows)
    return row_batches(*tensors, batch_size=training.batch_size, seed=seed)


def _chain_batches(
    first_at: Callable[[int], Batch], first_steps: int, then_at: Callable[[int], Batch]
) -> Callable[[int], Batch]:
    def batch_at(step: int) -> Batch:
        return first_at(step) if step < first_steps else then_at(step - first_steps)

    return batch_at


def _call_after_every_step(
    until: Until | None, every: int, watch: Callable[[int, Any], None] | None
) -> tuple[Until | None, int]:
    """What `train` asks, and how often, so that `watch` sees every step."""
    if watch is None:
        return until, every

    def watched(step: int, model: Any) -> bool:
        watch(step, model)
        return until is not None and step % every == 0 and until(step, model)

    return watched, 1


def greedy_answers(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], max_new_tokens: int
) -> list[str]:
    """Greedy answers of a chat model to the prompts, without special tokens."""
    ids = [encode(tokenizer, prompt_text(tokenizer, p.text, chat=True)) for p in prompts]
    answers = decode_greedily(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        suppress=suppressed_ids(model),
        end_ids=end_ids(model),
    )
    return [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
