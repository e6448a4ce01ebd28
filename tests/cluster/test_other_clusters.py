"""The clusters that need no SLURM: processes of this machine, and the driver itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster.project import Project, until


@pytest.fixture
def plain(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", dict(os.environ))


def _is_alive(pid: int) -> bool:
    return (
        Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    )


def test_local(plain: Project) -> None:
    driver = plain.drive("trains", "--config", "num=2", "steps=3", cluster="local")
    assert driver.process.returncode == 0, driver.text
    assert driver.text.count("is local job") == 3
    assert plain.read("out/train.1.txt") == "train.1 3.0 resumed at 0\n"


def test_local_failure(plain: Project) -> None:
    driver = plain.drive("out/fail.txt", cluster="local")
    assert driver.process.returncode == 1
    tail = driver.text.split("its last lines:")[1]
    assert "local job" in driver.text and "the reason of the failure" in tail


def test_local_driver_killed(plain: Project) -> None:
    config = ("--config", "num=1", "steps=300")
    driver = plain.start("all", *config, cluster="local")
    first = plain.wait_for_step("train.0", 3)["pid"]
    driver.kill()
    assert _is_alive(first)
    driver = plain.start("all", "--config", "num=1", "steps=20", cluster="local")
    assert driver.wait() == 0, driver.text
    assert not _is_alive(first)
    plain.assert_alone()


def test_local_ctrl_c_ends_the_jobs(plain: Project) -> None:
    driver = plain.start("all", "--config", "num=1", "steps=300", cluster="local")
    pid = plain.wait_for_step("train.0", 3)["pid"]
    driver.interrupt()
    assert driver.wait(30) != 0
    until(lambda: not _is_alive(pid), 20)


def test_debug(plain: Project) -> None:
    driver = plain.drive("trains", "--config", "num=2", "steps=3", cluster="debug")
    assert driver.process.returncode == 0, driver.text
    assert plain.read("out/train.1.txt") == "train.1 3.0 resumed at 0\n"
    assert not (plain.folder / ".snakemake/submitit/claims").exists()


def test_debug_failure(plain: Project) -> None:
    driver = plain.drive("out/fail.txt", cluster="debug")
    assert driver.process.returncode == 1
    assert "the reason of the failure" in driver.text
    assert "failed: fail: command ended with exit status 1" in driver.text


def test_unknown_cluster(plain: Project) -> None:
    driver = plain.drive("all", cluster="cloud")
    assert driver.process.returncode != 0
    assert "invalid choice: 'cloud'" in driver.text
