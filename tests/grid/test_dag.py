"""Which job reads which."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from rebar import grid
from rebar.config.file import Config
from rebar.grid import dag


def test_a_job_reads_what_its_config_asks_for(smoke: Config) -> None:
    names = {"seed": 11, "recipe": "raw", "safeguard": "none"}
    assert dag.reads(smoke, "pretrain", **names) == [Path("corpus/11/packed/raw")]
    assert dag.reads(smoke, "align", alignment="bolt_on", **names) == [
        Path("models/11/raw/none/base"),
        Path("corpus/11/mixed/raw"),
        Path("corpus/11/mixed/safelm"),
        Path("corpus/11/packed/safelm"),
    ]
    assert dag.reads(smoke, "evaluate", alignment="none", **names) == [
        Path("models/11/raw/none/base")
    ]
    assert dag.reads(smoke, "evaluate", alignment="sft", **names) == [
        Path("models/11/raw/none/sft/aligned"),
        Path("attacks/11/raw/none/sft"),
    ]
    assert dag.reads(smoke, "probe", alignment="sft", **names) == [
        Path("models/11/raw/none/sft/aligned"),
        Path("attacks/11/raw/none/sft"),
    ]
    calm = smoke.model_copy(update={"probes": {n: smoke.probes["sharpness"] for n in smoke.probes}})
    assert dag.reads(calm, "probe", alignment="sft", **names) == [
        Path("models/11/raw/none/sft/aligned")
    ]


def test_a_job_is_known_by_its_folder() -> None:
    names = {"seed": 3, "recipe": "raw", "safeguard": "none", "alignment": "sft", "shard": 2}
    for stage in grid.JOB_STAGES:
        found = dag.node(grid.folder(stage, **names))
        assert found.stage == stage
        assert found.wildcards.items() <= names.items()
    with pytest.raises(ValueError, match="logs/align is the folder of no job; jobs write corpus"):
        dag.node(Path("logs/align"))


def test_all_jobs_stand_after_what_they_read(smoke: Config) -> None:
    jobs = dag.all_jobs(smoke)
    order = list(jobs)
    assert all(order.index(read) < order.index(place) for place in jobs for read in jobs[place])
    assert Counter(dag.node(place).stage for place in jobs) == {
        **{"collect": 1, "train_classifier": 1, "score": 1, "rewrite": 1, "mix": 2, "tokenize": 2},
        **{"pretrain": 2, "align": 3, "attack": 2, "evaluate": 5, "probe": 2},
    }


def test_probes_are_items_of_their_job(smoke: Config) -> None:
    place = Path("probes/11/raw/none/sft")
    assert [path.name for path in dag.items(smoke, place)] == list(smoke.probes)
    assert dag.items(smoke, Path("probes/11/raw/none/bolt_on")) == []


def test_jobs_of_a_stage_are_those_that_the_arms_need(smoke: Config) -> None:
    names = {
        stage: [str(path) for path in dag.jobs(dag.all_jobs(smoke), stage)]
        for stage in grid.JOB_STAGES
        if stage not in ("collect", "score", "rewrite")
    }
    assert names["tokenize"] == ["corpus/11/packed/raw", "corpus/11/packed/safelm"]
    assert names["pretrain"] == ["models/11/raw/none/base", "models/11/safelm/none/base"]
    assert names["attack"] == ["attacks/11/raw/none/sft", "attacks/11/safelm/none/sft"]
    assert len(names["align"]) == 3
    assert len(names["evaluate"]) == 5
