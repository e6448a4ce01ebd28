"""When memory runs out: how torch says so, and a training's next smaller micro-batch."""

from __future__ import annotations

import torch

from rebar.config.model import Training


def is_out_of_memory(error: RuntimeError) -> bool:
    """Of a GPU or of the host: torch has a class for the first only."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def split_further(settings: Training) -> Training:
    """At least twice as many equal parts; ValueError where each row is a part already."""
    rows, parts = settings.batch_size // settings.num_processes, settings.gradient_accumulation
    more = [number for number in range(2 * parts, rows + 1) if rows % number == 0]
    if not more:
        raise ValueError(
            f"out of memory with one sequence at a time; lower sequence_length (now "
            f"{settings.sequence_length}) or take a machine with more memory"
        )
    return settings.model_copy(update={"gradient_accumulation": more[0]})
