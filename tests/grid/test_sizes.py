"""Sizes of models from the config alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.config.file import Config
from rebar.config.model import Model
from rebar.grid import sizes


def test_parameters_are_those_of_the_model_that_is_built() -> None:
    shape = {"hidden_size": 2048, "layers": 24, "heads": 32, "feed_forward_size": 8192}
    assert sizes.parameters(Model(**shape), 49152) == 1_711_376_384  # SmolLM2-1.7B's


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("org/SmolLM2-1.7B", 1.7e9),
        ("org/Llama-3.1-8B-Instruct", 8e9),
        ("package:nowhere/SmolLM2-135M-Instruct.Q4_1.gguf", 135e6),
        ("org/unnamed", 1e9),
    ],
)
def test_a_model_of_the_hub_tells_its_size_by_name(
    smoke: Config, model: str, weights: float
) -> None:
    start = smoke.recipes["raw"].model_copy(update={"parts": [], "initial_model": model})
    config = smoke.model_copy(update={"recipes": {"raw": start}})
    assert sizes.model_parameters(config, "raw") == weights


def test_a_local_model_tells_its_size_by_its_files(smoke: Config, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(4000))
    start = smoke.recipes["raw"].model_copy(update={"parts": [], "initial_model": str(tmp_path)})
    config = smoke.model_copy(update={"recipes": {"raw": start}})
    assert sizes.model_parameters(config, "raw") == 2000
