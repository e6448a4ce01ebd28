"""What makes a job run again: its settings and its code, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from rebar.config.file import Config
from rebar.jobs.job import Job, make_job

ROOT = Path(__file__).parents[2]
RESULTS = Path("results/smoke")
ARM = {"seed": "0", "recipe": "raw", "safeguard": "none", "alignment": "sft"}


def spec(config: Config, stage: str, **wildcards: str) -> str:
    return json.dumps(make_job(config, RESULTS, stage, **wildcards).spec, sort_keys=True)


def test_a_job_survives_the_command_line(smoke: Config) -> None:
    job = make_job(smoke, RESULTS, "attack", **ARM)
    copy = Job.from_json(json.dumps(job.spec), RESULTS)
    assert copy == job
    assert copy.seed == 0
    assert str(copy.folder) == "results/smoke/attacks/0/raw/none/sft"
    assert copy.arm.recipe == "raw"


def test_random_numbers_depend_on_seed_and_labels_alone(smoke: Config) -> None:
    job = make_job(smoke, RESULTS, "align", **ARM)
    other = make_job(smoke, RESULTS, "align", **(ARM | {"seed": "1"}))
    assert job.rng("a").random() == job.rng("a").random()
    assert len({job.rng("a").random(), job.rng("b").random(), other.rng("a").random()}) == 3


def test_a_setting_changes_only_the_jobs_that_use_it(smoke: Config) -> None:
    raw = smoke.recipes["raw"]
    changed = smoke.model_copy(
        update={"recipes": smoke.recipes | {"raw": raw.model_copy(update={"parts": raw.parts * 2})}}
    )
    for stage, wildcards, same in (
        ("mix", {"seed": "0", "recipe": "raw"}, False),
        ("mix", {"seed": "0", "recipe": "safelm"}, True),
        ("collect", {"seed": "0", "shard": "0"}, True),
        ("attack", ARM, True),
    ):
        assert (spec(smoke, stage, **wildcards) == spec(changed, stage, **wildcards)) is same


def test_an_arm_sees_only_its_own_attacks(smoke: Config) -> None:
    base = make_job(smoke, RESULTS, "evaluate", **(ARM | {"alignment": "none"}))
    assert {cell[0] for cell in base.settings["measurements"]} == {"none"}
    attack = make_job(smoke, RESULTS, "attack", **ARM)
    assert list(attack.settings["attacks"]) == ["benign_finetune_matched", "harmful_finetune_10"]
