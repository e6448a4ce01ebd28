"""Batches as functions of the step alone, so that a resumed run sees the same batches.

Shapes: B sequences, T tokens, N rows of a data set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rebar.data.encoding import IGNORED


class Batch(NamedTuple):
    """Input tokens, and at each position the token that should follow (-100: no loss)."""

    inputs_BT: Tensor
    targets_BT: Tensor

    @property
    def weight(self) -> Tensor:
        """Number of targets with a loss: the batch's weight when mean losses are averaged."""
        return (self.targets_BT != IGNORED).sum()


class PairBatch(NamedTuple):
    """Two answers to each request, the first one preferred, as inputs and targets.

    A row without a rejected answer has no rejected target.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    rejected_inputs_BT: Tensor
    rejected_targets_BT: Tensor

    @property
    def weight(self) -> Tensor:
        """Number of rows: the batch's weight when mean losses are averaged."""
        return torch.tensor(len(self.inputs_BT))


def packed_batches(
    tokens_path: Path, *, batch_size: int, sequence_length: int
) -> Callable[[int], Batch]:
    """Batches of consecutive tokens from a flat token file; each token is used once.

    `tokens.npy` is one-dimensional and unsigned. A step beyond its end raises ValueError.
    """
    tokens = np.load(tokens_path, mmap_mode="r")
    tokens_per_step = batch_size * sequence_length

    def batch_at(step: int) -> Batch:
        start = step * tokens_per_step
        # One token more than the step reads: the last target follows the last input.
        stretch = np.asarray(tokens[start : start + tokens_per_step + 1], dtype=np.int64)
        if len(stretch) <= tokens_per_step:
            raise ValueError(
                f"{tokens_path} ends before step {step}: its {len(tokens)} tokens suffice for "
                f"{(len(tokens) - 1) // tokens_per_step} steps of {tokens_per_step} tokens; lower "
                "steps, batch_size or sequence_length, or tokenize again"
            )
        inputs, targets = stretch[:-1], stretch[1:]
        shape = (batch_size, sequence_length)
        return Batch(*(torch.tensor(part.reshape(shape)) for part in (inputs, targets)))

    return batch_at


def row_batches(
    inputs_NT: Tensor, targets_NT: Tensor, *, batch_size: int, seed: int
) -> Callable[[int], Batch]:
    """Batches of rows in shuffled epochs; each epoch uses every row once.

    Epochs follow each other without a gap, so a batch may hold rows of two epochs.
    """
    rows_at = _shuffle_rows(len(inputs_NT), batch_size, seed)

    def batch_at(step: int) -> Batch:
        rows = rows_at(step)
        return Batch(inputs_NT[rows], targets_NT[rows])

    return batch_at


def pair_batches(*columns: Tensor, batch_size: int, seed: int) -> Callable[[int], PairBatch]:
    """Batches of pairs in shuffled epochs; `columns` are the fields of a `PairBatch`."""
    rows_at = _shuffle_rows(len(columns[0]), batch_size, seed)

    def batch_at(step: int) -> PairBatch:
        rows = rows_at(step)
        return PairBatch(*(column[rows] for column in columns))

    return batch_at


def _shuffle_rows(num_rows: int, batch_size: int, seed: int) -> Callable[[int], Tensor]:
    """A function that gives the numbers of the rows of each step."""
    if num_rows == 0:
        raise ValueError("no rows to train on: the data set is empty; check its files")

    def rows_at(step: int) -> Tensor:
        # Each epoch's order is drawn from (seed, epoch), so that any step can be computed by
        # itself.
        positions = range(step * batch_size, (step + 1) * batch_size)
        epochs = {p // num_rows for p in positions}
        # A batch at the border of two epochs needs both orders.
        orders = {e: np.random.default_rng((seed, e)).permutation(num_rows) for e in epochs}
        return torch.tensor([int(orders[p // num_rows][p % num_rows]) for p in positions])

    return rows_at
