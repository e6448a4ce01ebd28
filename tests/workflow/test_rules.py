"""The .smk files spell out what is made from what; here they are compared with the stage table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from rebar import grid
from rebar.config.file import Config, load_config
from rebar.cost.resources import resources
from rebar.grid import dag
from tests.workflow.conftest import ROOT, copy_project, said, snakemake

# Together they have every stage; the paper's has 8-GPU jobs on several nodes.
CONFIGS = ("smoke", "demo", "safeguards", "attacks", "paper")
BESIDE_THE_GRID = "tracking_db"  # makes the store that `track` imports into


class PlannedJob(NamedTuple):
    """A job as a dry run prints it."""

    rule: str
    facts: dict[str, str]  # `input`, `output`, ... as they are printed

    def files(self, kind: str) -> set[str]:
        return set(filter(None, self.facts.get(kind, "").split(", ")))

    @property
    def wildcards(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.files("wildcards"))

    @property
    def resources(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.files("resources"))


def jobs_of_a_dry_run(project: Path, config: str) -> list[PlannedJob]:
    options = ("--dry-run", "--quiet", "host", "--cores", "64")  # a job never shows more threads
    result = snakemake(project, *options, "--", "all", config=config)
    assert result.returncode == 0, said(result)
    blocks = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", said(result), re.MULTILINE)
    return [
        PlannedJob(rule, dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE)))
        for rule, text in blocks
        if rule not in ("all", BESIDE_THE_GRID)
    ]


def check_job(config: Config, job: PlannedJob) -> None:
    """Paths and resources of one job are those of its stage's entry."""
    results, names = Path("results") / config.name, grid.typed(job.wildcards)
    folder = grid.folder(job.rule, **names)
    assert job.files("output") == {str(results / folder / "manifest.json")}
    assert job.files("log") == {str(results / "logs" / job.rule / folder) + ".log"}
    read = {
        str(results / place / "manifest.json") for place in dag.reads(config, job.rule, **names)
    }
    assert {file for file in job.files("input") if file.startswith("results/")} == read
    asks = resources(config, job.rule, names)
    assert int(job.facts.get("threads", 1)) == asks.cpus
    found = [int(job.resources[key]) for key in ("runtime", "mem_mb", "gpu", "nodes")]
    assert found == [asks.minutes, asks.mem_mb, asks.gpus, asks.nodes]


@pytest.mark.parametrize("name", CONFIGS)
def test_rules_read_and_write_what_the_table_says(tmp_path: Path, name: str) -> None:
    config = load_config(ROOT / f"config/{name}.yaml")
    jobs = jobs_of_a_dry_run(copy_project(tmp_path), name)
    with_folders = [job for job in jobs if grid.STAGES[job.rule].folder]
    for job in with_folders:
        check_job(config, job)
    places = [grid.folder(job.rule, **grid.typed(job.wildcards)) for job in with_folders]
    assert sorted(places) == sorted(dag.all_jobs(config))
    others = {job.rule: job.files("output") for job in jobs if job not in with_folders}
    results = Path("results") / config.name
    assert others == {
        name: {str(results / file) for file in stage.files}
        for name, stage in grid.STAGES.items()
        if stage.files
    }


def test_every_stage_is_in_one_of_these_configs() -> None:
    stages = set[str]()
    for name in CONFIGS:
        config = load_config(ROOT / f"config/{name}.yaml")
        stages |= {dag.node(place).stage for place in dag.all_jobs(config)}
    assert stages == set(grid.JOB_STAGES)


@pytest.mark.parametrize("stage", grid.STAGES)
def test_a_rule_spells_out_the_paths_that_it_writes(stage: str) -> None:
    texts = [path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk"))]
    rules = [
        m for text in texts for m in re.findall(rf"rule {stage}:\n(.*?)\n    log:", text, re.S)
    ]
    assert len(rules) == 1
    output = rules[0].partition("output:\n")[2]
    entry = grid.STAGES[stage]
    paths = entry.files or (f"{entry.folder}/manifest.json",)
    assert all(f'"<results>/{path}"' in output for path in paths)
