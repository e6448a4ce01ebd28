"""Plans: what the rules would ask for, added up; wall time by a schedule that can be drawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rebar import grid
from rebar.cli.main import main
from rebar.config.file import Config, load_config
from rebar.cost.plan import Planned, plan_lines, planned_jobs, wall_seconds
from rebar.cost.resources import Resources
from rebar.grid import dag
from rebar.grid.workloads import Workload
from tests.conftest import ROOT


def job(seconds: float, *reads: str, gpus: int = 0, nodes: int = 1) -> Planned:
    asks = Resources(minutes=1, mem_mb=1, cpus=1, gpus=gpus, nodes=nodes)
    return Planned("pretrain", asks, seconds, Workload(), [Path(name) for name in reads])


@pytest.mark.parametrize(
    ("cpus", "seconds"),
    [(1, 1 + 2 + 3 + 4), (2, 1 + 2 + 4), (3, 1 + 4)],  # 2 cores: b and c, then d when b ends
)
def test_wall_time_is_that_of_the_schedule(cpus: int, seconds: float) -> None:
    jobs = {"a": job(1), "b": job(2, "a"), "c": job(3, "a"), "d": job(4, "a")}
    assert wall_seconds({Path(k): v for k, v in jobs.items()}, 0, cpus) == seconds


def test_a_job_larger_than_the_cluster_takes_longer() -> None:
    jobs = {Path("a"): job(10, gpus=8, nodes=4)}
    assert wall_seconds(jobs, 32, 64) == 10
    assert wall_seconds(jobs, 8, 64) == 40


def test_gpu_hours_count_all_gpus() -> None:
    assert job(3600, gpus=8, nodes=4).gpu_hours == 32
    assert job(3600, nodes=4).cpu_hours == 4


def test_the_plan_has_a_row_a_stage_and_counts_the_jobs(smoke: Config) -> None:
    lines = list(plan_lines(smoke, 0, 2))
    rows = {line.split()[0]: line.split() for line in lines[: len(grid.JOB_STAGES) + 2]}
    assert rows["evaluate"][1] == "5" and rows["pretrain"][1] == "2"
    assert rows["all"][1] == str(len(dag.all_jobs(smoke)))
    assert len(planned_jobs(smoke)) == len(dag.all_jobs(smoke))
    assert any(line.startswith("\nwall time on 0 GPUs and 2 cores: ") for line in lines)


def test_the_plan_says_what_its_limit_would_end() -> None:
    paper = "\n".join(plan_lines(load_config(ROOT / "config/paper.yaml"), 32, 512))
    assert re.search(r"only trainings go on after that: .*rewrite 45 h, .*tokenize 333 h; ", paper)
    small = "\n".join(plan_lines(load_config(ROOT / "config/demo.yaml"), 32, 512))
    assert "only trainings go on" not in small


def test_the_command_names_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    smoke = str(ROOT / "config/smoke.yaml")
    main(["plan", "--configfile", smoke])
    assert "wall time on 8 GPUs and 64 cores" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--gpus -1 --cpus 4: a cluster has at least 0 GPUs"):
        main(["plan", "--configfile", smoke, "--gpus", "-1", "--cpus", "4"])
