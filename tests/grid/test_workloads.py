"""What a job of a stage does: closed forms."""

from __future__ import annotations

import pytest

from rebar.config.file import Config
from rebar.config.plugins import plugin_settings
from rebar.cost.resources import CPU_FLOPS, START_SECONDS, resources, seconds, workload_of
from rebar.grid import Measurement, sizes, workloads
from tests.cost.test_resources import PRETRAIN, scaled


def test_pretraining_takes_six_flops_a_parameter_and_token(smoke: Config) -> None:
    weights = sizes.parameters(smoke.model, sizes.WORLD_VOCABULARY)
    done = workload_of(smoke, "pretrain", PRETRAIN)
    assert done.train_flops == 6 * weights * 250 * 16 * 64
    assert seconds(smoke, "pretrain", PRETRAIN) == START_SECONDS + done.train_flops / CPU_FLOPS


def test_preferences_read_two_answers_a_row_with_two_models(smoke: Config) -> None:
    arm = PRETRAIN | {"alignment": "sft"}
    plain = workload_of(smoke, "align", arm)
    training = getattr(smoke.alignments["sft"], "training")  # noqa: B009
    dpo = plugin_settings("alignments", "dpo", {"method": "dpo", "training": training})
    other = smoke.model_copy(update={"alignments": {"sft": dpo}})
    done = workload_of(other, "align", arm)
    assert done.train_flops == pytest.approx(plain.train_flops * 2 * (6 + 2) / 6)
    assert done.memory_bytes == 2 * plain.memory_bytes + 4 * plain.parameters


def test_probes_ask_for_what_all_of_them_forward_and_the_widest_holds(smoke: Config) -> None:
    arm = PRETRAIN | {"alignment": "sft"}
    weights = sizes.parameters(smoke.model, sizes.WORLD_VOCABULARY)
    done = workload_of(smoke, "probe", arm)
    lines, planes, way, texts = 5 + 7, 5 * 5 + 7 * 5, 5, 4 * 64
    basin = 5 * 4 * (30 + 30)
    ascents = 8 * (3 * 2 + 2) + 3 * 2
    forwarded = basin + texts * (3 * (lines + planes + way) + ascents)
    assert done.generate_flops == 2 * weights * forwarded
    assert done.memory_bytes == 4 * weights * 6  # of sharpness
    large = scaled(smoke, model={"hidden_size": 4096, "layers": 32, "heads": 32})
    assert resources(large, "probe", arm).mem_mb > 5 * resources(smoke, "probe", arm).mem_mb


def attacked(config: Config, **settings: dict) -> Config:
    """The smoke config with these attacks on one arm."""
    values = {name: {"method": name, **setting} for name, setting in settings.items()}
    block = config.grid[1].model_copy(update={"recipes": ("raw",), "attacks": ("none", *values)})
    plugins = {name: plugin_settings("attacks", name, v) for name, v in values.items()}
    return config.model_copy(update={"attacks": plugins, "grid": (block,)})


def test_attacks_that_do_not_train_cost_what_they_read(smoke: Config) -> None:
    names = {**PRETRAIN, "alignment": "sft"}
    weights, read = (
        sizes.parameters(smoke.model, sizes.WORLD_VOCABULARY),
        2 * workloads.PROMPT_TOKENS,
    )
    gcg = {"steps": 8, "candidates": 16, "requests": 4}
    ablation = {"train": 32, "validation": 8, "layers": 6, "positions": 2}
    quiet = attacked(smoke, weight_noise={"strength": 0.1}, prefill={})
    config = attacked(smoke, gcg=gcg, refusal_ablation=ablation, few_shot={"examples": 3})
    assert workload_of(quiet, "attack", names).train_flops == 0
    # A gradient is three passes; of six layers two are there, and each candidate is read thrice.
    prompts = 8 * 4 * (16 + 3) + 4 * (32 + 8) + 3 * 2 * 2 * 8
    assert workload_of(config, "attack", names).train_flops == read * weights * prompts
    # Input attacks save no weights.
    assert workload_of(quiet, "attack", names).disk_bytes == 4 * weights + 1e4
    assert workload_of(config, "attack", names).disk_bytes == 4 * weights + 2e4


def test_examples_before_a_request_are_read_with_it(smoke: Config) -> None:
    config = attacked(smoke, few_shot={"examples": 3}, prefill={})
    plain, shot = (
        workloads._generated(config, Measurement(name, "greedy", "asr"))
        for name in ("prefill", "few_shot")
    )
    assert plain == workloads.PROMPTS * (workloads.PROMPT_TOKENS + 30)
    assert shot == workloads.PROMPTS * (4 * workloads.PROMPT_TOKENS + 30)
