"""The paper's configs through Snakemake: a dry run asks nobody, a run asks before any job."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from rebar.config.file import load_config
from rebar.cost.plan import planned_jobs
from rebar.grid import dag
from tests.loopback_hub import loopback_hub
from tests.workflow.conftest import ROOT, copy_project, environment, said

LONGEST_DRY_RUN = 40.0  # seconds


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("paper") / "project")


def run(
    project: Path, config: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess:
    """Snakemake by the local profile, with a Hub that only the caller names."""
    command = ["snakemake", "--profile", "profiles/local", "--configfile", f"config/{config}.yaml"]
    return subprocess.run(
        [*command, *arguments],
        cwd=project,
        env=environment(project) | {"HF_ENDPOINT": "http://127.0.0.1:9"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["paper", "paper-135m"])
@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_dry_run_is_quick_and_needs_no_network(project: Path, name: str, offline: str) -> None:
    start = time.monotonic()
    result = run(project, name, "-n", "all", HF_HUB_OFFLINE=offline)
    assert result.returncode == 0, said(result)[-3000:]
    assert time.monotonic() - start < LONGEST_DRY_RUN
    jobs = len(dag.all_jobs(load_config(ROOT / f"config/{name}.yaml")))
    total = re.search(r"^total +(\d+)$", said(result), re.MULTILINE)
    outside = ("audit", "summarize", "report", "track", "tracking_db", "all")
    assert total and int(total[1]) == jobs + len(outside)


def test_the_plan_agrees_with_the_papers_own_hours() -> None:
    jobs = planned_jobs(load_config(ROOT / "config/paper.yaml")).values()
    hours = [job.gpu_hours for job in jobs if job.stage == "pretrain"]
    assert len(hours) == 11
    assert all(4600 / 1.5 < each < 5400 * 1.5 for each in hours)


@pytest.fixture
def gated(project: Path) -> str:
    """A config whose first source is gated and whose second is there."""
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    names = ("org/gated", "org/open")
    values["collect"]["sources"] = [{"kind": "hub", "dataset": name} for name in names]
    (project / "config/gated.yaml").write_text(yaml.safe_dump(values | {"name": "gated"}))
    return "gated"


def test_no_job_starts_while_an_id_is_gated(project: Path, gated: str) -> None:
    with loopback_hub() as (address, asked):
        result = run(project, gated, "--", "all", HF_HUB_OFFLINE="0", HF_ENDPOINT=address)
        assert sum(path.endswith("/auth-check") for path in asked) == 2
    assert result.returncode != 0
    lines = said(result).splitlines()
    at = lines.index(next(line for line in lines if "the Hub stands in the way" in line))
    assert "gated (accept the terms on its page" in lines[at + 1]
    assert lines[at + 2].endswith(
        "collect.sources.0.dataset: https://huggingface.co/datasets/org/gated"
    )
    assert "org/open" not in said(result)
    assert not (project / "results/gated").exists()


def test_no_job_starts_while_an_id_lacks_its_pin(project: Path) -> None:
    result = run(project, "paper", "--", "all", HF_HUB_OFFLINE="1")
    assert result.returncode != 0
    assert "not pinned (write commits of 40 digits; `python -m rebar pin --configfile" in said(
        result
    )
    assert "the cache lacks (`hf download ID" in said(result)
    assert not (project / "results/paper").exists()
