"""What jobs ask for follows from sizes, and fits small clusters."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rebar.config.file import Config, load_config
from rebar.cost.resources import (
    GPU_FLOPS,
    GPU_UTILISATION,
    MOST_MINUTES,
    START_SECONDS,
    resources,
    seconds,
    workload_of,
)
from rebar.grid import dag
from tests.conftest import ROOT

PRETRAIN = {"seed": 0, "recipe": "raw", "safeguard": "none"}


def scaled(config: Config, **model_and_training: dict) -> Config:
    """The config with other sizes, unchecked."""
    changes = {
        name: getattr(config, name).model_copy(update=values)
        for name, values in model_and_training.items()
    }
    return config.model_copy(update=changes)


def test_a_large_training_asks_for_gpus_and_is_shared(smoke: Config) -> None:
    shape = {"hidden_size": 2048, "layers": 24, "heads": 32, "feed_forward_size": 8192}
    training = {"steps": 1000, "batch_size": 1024, "sequence_length": 2048, "threads": 4}
    large = scaled(smoke, model=shape, pretrain={**training, "nodes": 4, "processes_per_node": 8})
    asks = resources(large, "pretrain", PRETRAIN)
    assert (asks.gpus, asks.nodes, asks.cpus) == (8, 4, 32)
    planned = workload_of(large, "pretrain", PRETRAIN)
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
