"""Fine-tune a chat model on a list of chats, with all weights or with LoRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
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
from rebar.training.train import TrainResult, train

Until = Callable[[int, Any], bool]  # steps done and model; True ends the run
AfterStep = Callable[[int, Any], None]  # steps done and model


def finetune(
    model: Any,
    tokenizer: Any,
    chats: Sequence[Chat],
    training: Training,
    *,
    seed: int,
    recorder: Recorder,
    checkpoints: Path | None = None,
    identity: str = "",
    first: Sequence[Chat] = (),
    first_steps: int = 0,
    until: Until | None = None,
    until_every: int = 1,
    after_step: AfterStep | None = None,
) -> TrainResult:
    """Train `model` in place on the answers of the chats; return what the run did.

    Checkpoints are written to the folder `checkpoints`; only a run with the same `identity` resumes
    one. The first `first_steps` steps use the chats `first`. `after_step` is called after every
    step with the number of steps done and the model; `until` ends the run by returning True.
    """
    batch_at = chat_batches(tokenizer, chats, training, seed)
    if first_steps:
        batch_at = _chain_batches(
            chat_batches(tokenizer, first, training, seed), first_steps, batch_at
        )
    until, until_every = _call_after_every_step(until, until_every, after_step)
    result = train(
        model,
        batch_at,
        training,
        recorder,
        checkpoint_folder=checkpoints,
        until=until,
        until_every=until_every,
        identity=identity,
    )
    recorder.add_costs(**result.costs)
    return result


def finetune_and_merge(
    config: FineTuning,
    model: Any,
    tokenizer: Any,
    chats: Sequence[Chat],
    training: Training,
    **how: Any,
) -> tuple[Any, dict[str, int]]:
    """Fine-tune with all weights or, if the settings say so, with LoRA that is then merged.

    Returns the trained model, and facts about the run for its manifest.
    """
    if not config.lora_rank:
        return model, finetune(model, tokenizer, chats, training, **how).facts
    adapted = add_lora(model, config, seed=how["seed"])
    facts = finetune(adapted, tokenizer, chats, training, **how).facts
    return adapted.merge_and_unload(), facts


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
    until: Until | None, every: int, after_step: AfterStep | None
) -> tuple[Until | None, int]:
    """`until` and its interval, changed so that `train` calls `after_step` after every step."""
    if after_step is None:
        return until, every

    def watched(step: int, model: Any) -> bool:
        after_step(step, model)
        # `train` now calls every step, so the interval of `until` is kept here.
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
