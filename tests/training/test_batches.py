from pathlib import Path

import numpy as np
import pytest
import torch

from rebar.training.batches import Batch, packed_batches, row_batches


def test_packed_batches_are_consecutive_and_targets_are_the_next_tokens(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(13, dtype=np.uint16))
    batch_at = packed_batches(tmp_path / "tokens.npy", batch_size=2, sequence_length=3)
    assert batch_at(0).inputs_BT.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert batch_at(1).inputs_BT.tolist() == [[6, 7, 8], [9, 10, 11]]
    assert batch_at(1).targets_BT.tolist() == [[7, 8, 9], [10, 11, 12]]
    assert batch_at(1).inputs_BT.dtype == torch.int64


@pytest.mark.parametrize(("num_tokens", "good_steps"), [(13, 2), (12, 1)])
def test_packed_batches_end_with_the_file(tmp_path: Path, num_tokens: int, good_steps: int) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(num_tokens, dtype=np.uint32))
    batch_at = packed_batches(tmp_path / "tokens.npy", batch_size=2, sequence_length=3)
    batch_at(good_steps - 1)
    with pytest.raises(ValueError, match=f"suffice for {good_steps} steps of 6 tokens; lower"):
        batch_at(good_steps)


def test_row_batches_use_every_row_once_an_epoch_and_cross_its_end() -> None:
    inputs = torch.arange(5)[:, None]
    batch_at = row_batches(inputs, inputs + 100, batch_size=3, seed=7)
    seen = [row for step in range(5) for row in batch_at(step).inputs_BT[:, 0].tolist()]
    epochs = [seen[start : start + 5] for start in range(0, 15, 5)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert (batch_at(1).targets_BT - batch_at(1).inputs_BT).tolist() == [[100]] * 3


def test_row_batches_depend_on_step_and_seed_alone() -> None:
    inputs = torch.arange(50)[:, None]
    first, again, other = (
        row_batches(inputs, inputs, batch_size=8, seed=seed) for seed in (1, 1, 2)
    )
    first(0), first(3)
    assert torch.equal(first(4).inputs_BT, again(4).inputs_BT)
    assert not torch.equal(first(4).inputs_BT, other(4).inputs_BT)


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="data set is empty"):
        row_batches(torch.empty(0, 4), torch.empty(0, 4), batch_size=2, seed=0)


def test_weight_counts_targets_with_loss() -> None:
    batch = Batch(torch.zeros(2, 3), torch.tensor([[-100, 4, 5], [-100, 7, 6]]))
    assert batch.weight.item() == 4
