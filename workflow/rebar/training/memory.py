"""What to do when memory runs out: recognise the error, and choose smaller micro-batches."""

from __future__ import annotations

import torch

from rebar.config.model import Training


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that a GPU or the host ran out of memory.

    torch has an exception class for GPUs only; on the host, its allocator's message tells.
    """
    # CUDA says the first, the host's allocator the second.
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def split_further(settings: Training) -> Training:
    """The settings with the next larger number of equal parts per batch, at least twice as many.

    Raises ValueError if every part is a single sequence already.
    """
    rows, parts = settings.batch_size // settings.num_processes, settings.gradient_accumulation
    # Only divisors of the rows, so that all parts have the same shape and compile once.
    more = [number for number in range(2 * parts, rows + 1) if rows % number == 0]
    if not more:
        raise ValueError(
            f"out of memory with one sequence at a time; lower sequence_length (now "
            f"{settings.sequence_length}) or use a machine with more memory"
        )
    return settings.model_copy(update={"gradient_accumulation": more[0]})
