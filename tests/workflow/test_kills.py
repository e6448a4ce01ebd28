"""`kill -9` at any moment, then the same command: the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.grid_runs import state_of
from tests.workflow.conftest import environment, project_with_longer_trainings, said, snakemake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RESULTS = Path("results/smoke")
LONGER = {  # runs that last long enough to be hit
    "steps: 250\n": "steps: 1000\n",
    "every_steps: 50": "every_steps: 100",
    "*attack_training, steps: 6": "*attack_training, steps: 300",
}


def start(project: Path) -> subprocess.Popen:
    command = ["snakemake", "--profile", "profiles/local", "--configfile", "config/smoke.yaml"]
    return subprocess.Popen(
        [*command, "--", "all"],
        cwd=project,
        env=environment(project),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(pattern: str, project: Path, driver: subprocess.Popen) -> None:
    """Until a file of this pattern appears below the results."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if list((project / RESULTS).glob(pattern)):
            return
        assert driver.poll() is None, f"the run ended before {pattern} appeared"
        time.sleep(0.02)
    raise AssertionError(f"{pattern} never appeared")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Summary, weights and answers of a run that nothing disturbed."""
    project = project_with_longer_trainings(tmp_path_factory.mktemp("quiet"), LONGER)
    result = snakemake(project, "--", "all")
    assert result.returncode == 0, said(result)[-5000:]
    return state_of(project / RESULTS)


def finish_after(
    kill: Callable[[subprocess.Popen], None], moments: list[str], project: Path
) -> subprocess.CompletedProcess:
    for moment in moments:
        driver = start(project)
        wait_for(moment, project, driver)
        kill(driver)
        driver.wait()
    return snakemake(project, "--", "all")


def kill_everything(driver: subprocess.Popen) -> None:
    os.killpg(driver.pid, signal.SIGKILL)


def test_everything_killed_three_times(tmp_path: Path, expected: dict[str, str]) -> None:
    project = project_with_longer_trainings(tmp_path, LONGER)
    moments = [
        "corpus/*/rewritten/.0.unfinished",
        "checkpoints/models/*/raw/none/base/step-*0.safetensors",
        "attacks/*/*/none/sft/.harmful_finetune_10.unfinished",
    ]
    result = finish_after(kill_everything, moments, project)
    assert result.returncode == 0, said(result)[-5000:]
    assert "Removed the lock of a Snakemake run that was killed." in said(result)
    assert state_of(project / RESULTS) == expected


def test_the_driver_killed_alone_leaves_no_second_writer(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    project = project_with_longer_trainings(tmp_path, LONGER)
    moments = ["checkpoints/models/*/*/none/base/step-*0.safetensors"]
    result = finish_after(lambda driver: driver.kill(), moments, project)
    assert result.returncode == 0, said(result)[-5000:]
    text = said(result)
    assert "another process works on this job; waiting for it" in text
    assert state_of(project / RESULTS) == expected


def test_a_resumed_pretraining_did_not_start_over(tmp_path: Path) -> None:
    project = project_with_longer_trainings(tmp_path, LONGER)
    driver = start(project)
    wait_for("checkpoints/models/*/raw/none/base/step-*0.safetensors", project, driver)
    kill_everything(driver)
    driver.wait()
    target = str(RESULTS / "models/11/raw/none/base/manifest.json")
    result = snakemake(project, "--", target)
    assert result.returncode == 0
    log = (project / RESULTS / "logs/pretrain/models/11/raw/none/base.log").read_text()
    assert "resumed at step" in log
