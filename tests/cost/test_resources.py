"""What jobs ask for follows from sizes: closed forms, and the bounds that small clusters need."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rebar.config.file import Config, load_config
from rebar.config.model import Model
from rebar.config.plugins import plugin_settings
from rebar.cost import flops, sizes
from rebar.cost.resources import (
    CPU_FLOPS,
    GPU_FLOPS,
    GPU_UTILISATION,
    MOST_MINUTES,
    START_SECONDS,
    resources,
    seconds,
)
from rebar.grid import Measurement, dag
from tests.conftest import ROOT

PRETRAIN = {"seed": 0, "recipe": "raw", "safeguard": "none"}


def scaled(config: Config, **model_and_training: dict) -> Config:
    """The config with other sizes, unchecked."""
    changes = {
        name: getattr(config, name).model_copy(update=values)
        for name, values in model_and_training.items()
    }
    return config.model_copy(update=changes)


def test_parameters_are_those_of_the_model_that_is_built() -> None:
    shape = {"hidden_size": 2048, "layers": 24, "heads": 32, "feed_forward_size": 8192}
    assert sizes.parameters(Model(**shape), 49152) == 1_711_376_384  # SmolLM2-1.7B's


def test_pretraining_takes_six_flops_a_parameter_and_token(smoke: Config) -> None:
    weights = sizes.parameters(smoke.model, sizes.WORLD_VOCABULARY)
    done = flops.work(smoke, "pretrain", PRETRAIN)
    assert done.train_flops == 6 * weights * 30 * 16 * 64
    assert seconds(smoke, "pretrain", PRETRAIN) == START_SECONDS + done.train_flops / CPU_FLOPS


def test_preferences_read_two_answers_a_row_with_two_models(smoke: Config) -> None:
    arm = PRETRAIN | {"alignment": "sft"}
    plain = flops.work(smoke, "align", arm)
    training = getattr(smoke.alignments["sft"], "training")  # noqa: B009
    dpo = plugin_settings("alignments", "dpo", {"method": "dpo", "training": training})
    other = smoke.model_copy(update={"alignments": {"sft": dpo}})
    done = flops.work(other, "align", arm)
    assert done.train_flops == pytest.approx(plain.train_flops * 2 * (6 + 2) / 6)
    assert done.memory_bytes == 2 * plain.memory_bytes + 4 * plain.parameters


def test_probes_ask_for_what_all_of_them_forward_and_the_widest_holds(smoke: Config) -> None:
    arm = PRETRAIN | {"alignment": "sft"}
    weights = sizes.parameters(smoke.model, sizes.WORLD_VOCABULARY)
    done = flops.work(smoke, "probe", arm)
    lines, planes, way, texts = 5 + 7, 5 * 5 + 7 * 5, 5, 4 * 64
    basin = 5 * 4 * (30 + 30)
    ascents = 8 * (3 * 2 + 2) + 3 * 2
    forwarded = basin + texts * (3 * (lines + planes + way) + ascents)
    assert done.generate_flops == 2 * weights * forwarded
    assert done.memory_bytes == 4 * weights * 6  # of sharpness
    large = scaled(smoke, model={"hidden_size": 4096, "layers": 32, "heads": 32})
    assert resources(large, "probe", arm).mem_mb > 5 * resources(smoke, "probe", arm).mem_mb


def test_a_large_training_asks_for_gpus_and_is_shared(smoke: Config) -> None:
    shape = {"hidden_size": 2048, "layers": 24, "heads": 32, "feed_forward_size": 8192}
    training = {"steps": 1000, "batch_size": 1024, "sequence_length": 2048, "threads": 4}
    large = scaled(smoke, model=shape, pretrain={**training, "nodes": 4, "processes_per_node": 8})
    asks = resources(large, "pretrain", PRETRAIN)
    assert (asks.gpus, asks.nodes, asks.cpus) == (8, 4, 32)
    planned = flops.work(large, "pretrain", PRETRAIN)
    expected = START_SECONDS + planned.train_flops / (32 * GPU_FLOPS * GPU_UTILISATION)
    assert seconds(large, "pretrain", PRETRAIN) == pytest.approx(expected)
    assert asks.minutes == math.ceil(3 * expected / 60)
    longer = scaled(large, pretrain={"steps": 10**6})
    assert resources(longer, "pretrain", PRETRAIN).minutes == MOST_MINUTES


def test_smoke_fits_the_smallest_cluster(smoke: Config) -> None:
    for place in dag.all_jobs(smoke):
        asks = resources(smoke, *dag.node(place))
        assert (asks.nodes, asks.gpus) == (1, 0)
        assert asks.cpus <= 4 and asks.mem_mb <= 3500 and asks.minutes <= 30


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda f: f.stem)
def test_every_job_of_every_config_can_be_asked_for(file: Path) -> None:
    config = load_config(file)
    for place in dag.all_jobs(config):
        asks = resources(config, *dag.node(place))
        assert min(asks.minutes, asks.mem_mb, asks.cpus, asks.nodes) >= 1


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


def attacked(config: Config, **settings: dict) -> Config:
    """The smoke config with these attacks on one arm."""
    values = {name: {"method": name, **setting} for name, setting in settings.items()}
    block = config.grid[1].model_copy(update={"recipes": ("raw",), "attacks": ("none", *values)})
    plugins = {name: plugin_settings("attacks", name, v) for name, v in values.items()}
    return config.model_copy(update={"attacks": plugins, "grid": (block,)})


def test_attacks_that_do_not_train_cost_what_they_read(smoke: Config) -> None:
    names = {**PRETRAIN, "alignment": "sft"}
    weights, read = sizes.parameters(smoke.model, sizes.WORLD_VOCABULARY), 2 * flops.PROMPT_TOKENS
    gcg = {"steps": 8, "candidates": 16, "requests": 4}
    ablation = {"train": 32, "validation": 8, "layers": 6, "positions": 2}
    quiet = attacked(smoke, weight_noise={"strength": 0.1}, prefill={})
    config = attacked(smoke, gcg=gcg, refusal_ablation=ablation, few_shot={"examples": 3})
    assert flops.work(quiet, "attack", names).train_flops == 0
    # A gradient is three passes; of six layers one is there, and each candidate is read thrice.
    prompts = 8 * 4 * (16 + 3) + 4 * (32 + 8) + 3 * 2 * 8
    assert flops.work(config, "attack", names).train_flops == read * weights * prompts
    # Input attacks save no weights.
    assert flops.work(quiet, "attack", names).disk_bytes == 4 * weights + 1e4
    assert flops.work(config, "attack", names).disk_bytes == 4 * weights + 2e4


def test_examples_before_a_request_are_read_with_it(smoke: Config) -> None:
    config = attacked(smoke, few_shot={"examples": 3}, prefill={})
    plain, shot = (
        flops._generated(config, Measurement(name, "greedy", "asr"))
        for name in ("prefill", "few_shot")
    )
    assert plain == flops.PROMPTS * (flops.PROMPT_TOKENS + 30)
    assert shot == flops.PROMPTS * (4 * flops.PROMPT_TOKENS + 30)
