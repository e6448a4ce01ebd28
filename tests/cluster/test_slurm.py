"""The executor on a real SLURM: submission, arrays, groups, resources, failures."""

from __future__ import annotations

import re

from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.project import Project


def test_ready_jobs_are_one_array(project: Project) -> None:
    driver = project.drive("trains", "--config", "num=4", "steps=3")
    assert driver.process.returncode == 0, driver.text
    ids = re.findall(r"is slurm job (\S+), log: (\S+)", driver.text)
    arrays = {job.partition("_")[0] for job, _ in ids if "_" in job}
    assert len(arrays) == 1
    assert sorted(job.partition("_")[2] for job, _ in ids if "_" in job) == ["0", "1", "2", "3"]
    names = [log.rpartition("logs/")[2] for _, log in ids]
    assert sorted(names) == [*(f"train/x={x}.log" for x in range(4)), "trains/job.log"]
    assert project.read("out/train.2.txt") == "train.2 3.0 resumed at 0\n"
    assert "train.2" in project.read(".snakemake/submitit/logs/train/x=2.log")
    project.assert_alone()
