"""Noise, quantisation and interpolation against their formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from rebar.attacks import interpolation, quantization, weight_noise
from rebar.attacks._data import AttackData
from rebar.attacks._residual import decoder_linears
from rebar.config.world import World
from rebar.model.release import release
from tests.attacks.targets import target
from tests.model.tiny import tiny_llama, tiny_tokenizer

DATA = AttackData(World(), 3)


def parameters(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def noisy(folder: Path, seed: int, strength: float) -> dict[str, torch.Tensor]:
    model, config = tiny_llama(), weight_noise.Config(method="weight_noise", strength=strength)
    data = AttackData(World(), seed)
    return parameters(weight_noise.attack(config, target(model, tiny_tokenizer(), data, folder)))


def test_noise_has_its_share_of_each_tensors_norm(tmp_path: Path) -> None:
    before, after = parameters(tiny_llama()), noisy(tmp_path, 3, 0.1)
    for name, weights in before.items():
        share = float((after[name] - weights).norm() / weights.norm())
        assert share == pytest.approx(0.1, rel=5 / weights.numel() ** 0.5), name
    again, other, twice = (noisy(tmp_path, *args) for args in ((3, 0.1), (4, 0.1), (3, 0.2)))
    for name, weights in before.items():
        assert torch.equal(after[name], again[name])
        assert not torch.equal(after[name], other[name])
        torch.testing.assert_close(twice[name] - weights, 2 * (after[name] - weights))


def nf4_codes() -> np.ndarray:
    """QLoRA, appendix E: quantiles of a normal, 8 above and 7 below an exact 0, ends at 1."""
    offset = 0.9677083
    above = norm.ppf(np.linspace(offset, 0.5, 9)[:-1])
    below = -norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    codes = np.sort([*above, 0.0, *below])
    return codes / codes.max()


def dynamic_codes() -> np.ndarray:
    """8 bits: sign, as many 0s as the exponent, a 1, and linear fractions with the rest."""
    positive = [0.0, 1.0]
    for exponent in range(7):
        edges = np.linspace(0.1, 1, 2**exponent + 1)
        positive += list((edges[:-1] + edges[1:]) / 2 * 10.0 ** (exponent - 6))
    return np.sort([*positive, *(-np.array(positive[2:]))])


@pytest.mark.parametrize("width", [64, 48, 352])  # blocks that end with rows, and that do not
@pytest.mark.parametrize(
    ("bits", "block_size", "codes"), [(4, 64, nf4_codes()), (8, 256, dynamic_codes())]
)
def test_rounding_is_to_the_nearest_code_of_a_block(
    bits: int, block_size: int, codes: np.ndarray, width: int
) -> None:
    assert len(codes) == 2**bits
    torch.manual_seed(0)
    weights = torch.randn(32, width)
    blocks = weights.numpy().reshape(-1, block_size)
    scales = np.abs(blocks).max(axis=1, keepdims=True)
    nearest = codes[np.abs(blocks[:, :, None] / scales[:, :, None] - codes).argmin(axis=2)] * scales
    found = quantization.rounded(weights, bits, block_size)
    assert found.shape == weights.shape
    found = found.numpy().reshape(-1, block_size)
    same = np.abs(found - nearest) < 2e-6
    assert same.mean() > (0.999 if bits == 4 else 0.99)
    # Where codes are equally near, the library's arithmetic may take the other one.
    assert (np.abs(found - blocks) - np.abs(nearest - blocks)).max() < 2e-4


@pytest.mark.parametrize("bits", [4, 8])
def test_only_linear_layers_of_the_decoder_are_rounded(tmp_path: Path, bits: int) -> None:
    model = tiny_llama()
    before = parameters(model)
    config = quantization.Config(method="quantization", bits=bits)
    quantization.attack(config, target(model, tiny_tokenizer(), DATA, tmp_path))
    linears = {f"{name}.weight" for name in decoder_linears(model)}
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == linears
    for name in linears:
        share = (dict(model.named_parameters())[name] - before[name]).norm() / before[name].norm()
        assert share < (0.12 if bits == 4 else 0.02)


def saved(folder: Path, model) -> Path:
    folder.mkdir()
    release(model, tiny_tokenizer(), folder, "test")
    return folder


def between(folder: Path, alpha: float, base) -> dict[str, torch.Tensor]:
    data = AttackData(World(), 3, base=saved(folder / "base", base))
    config = interpolation.Config(method="interpolation", alpha=alpha)
    model = tiny_llama(vocabulary=128)
    return parameters(interpolation.attack(config, target(model, tiny_tokenizer(), data, folder)))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_weights_lie_between_the_two_models(tmp_path: Path, alpha: float) -> None:
    released, base = tiny_llama(vocabulary=128), tiny_llama(1, vocabulary=128)
    ends = parameters(released), parameters(base)
    for name, weights in between(tmp_path, alpha, base).items():
        expected = (1 - alpha) * ends[0][name] + alpha * ends[1][name]
        torch.testing.assert_close(weights, expected)
        if alpha in (0, 1):
            assert torch.equal(weights, ends[int(alpha)][name])


def test_interpolation_needs_another_model_of_the_same_shape(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has the weights of its base"):
        between(tmp_path, 0.5, tiny_llama(vocabulary=128))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match="the same architecture and vocabulary"):
        between(other, 0.5, tiny_llama(1, vocabulary=192))
