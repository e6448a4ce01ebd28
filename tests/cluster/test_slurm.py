"""The executor on a real SLURM: arrays, groups, resources, refusals, a busy controller."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.project import Project


def test_ready_jobs_are_one_array(project: Project, slurm: PrivateSlurm) -> None:
    driver = project.start("trains", "--config", "num=4", "steps=20")
    project.wait_for_step("train.3")
    listed = {line.split()[1] for line in slurm.queue()}
    assert listed == {"train"}
    assert driver.wait() == 0, driver.text
    ids = re.findall(r"is slurm job (\S+), log: (\S+)", driver.text)
    arrays = {job.partition("_")[0] for job, _ in ids if "_" in job}
    assert len(arrays) == 1
    assert sorted(job.partition("_")[2] for job, _ in ids if "_" in job) == ["0", "1", "2", "3"]
    names = [log.rpartition("logs/")[2] for _, log in ids]
    assert sorted(names) == [*(f"train/x={x}.log" for x in range(4)), "trains/job.log"]
    assert project.read("out/train.2.txt") == "train.2 20.0 resumed at 0\n"
    assert "Finished jobid" in project.read(".snakemake/submitit/logs/train/x=2.log")
    project.assert_alone()


def test_array_limit(project: Project, slurm: PrivateSlurm) -> None:
    driver = project.start("all", "--submitit-array-limit", "1", "--config", "num=2", "steps=20")
    project.wait_for_step("train.1")
    assert sorted(line.split()[1] for line in slurm.queue()) == ["train.x=0", "train.x=1"]
    assert driver.wait() == 0, driver.text
    assert len(set(re.findall(r"is slurm job (\d+),", driver.text))) == 2


def test_a_group_is_one_job(project: Project) -> None:
    driver = project.drive("members", "--group-components", "members=2")
    assert driver.process.returncode == 0, driver.text
    assert len(re.findall(r"is slurm job \S+", driver.text)) == 2
    jobs = [{note["job"] for note in project.times(f"member.{x}")} for x in range(4)]
    assert all(len(job) == 1 for job in jobs)
    assert len(set().union(*jobs)) == 2
    project.assert_alone()


def test_resources_reach_the_job_and_an_outer_job_does_not(project: Project) -> None:
    project.environment |= {
        "SLURM_JOB_ID": "999",
        "SLURM_NTASKS": "7",
        "SLURM_MEM_PER_CPU": "111",
        "CUDA_VISIBLE_DEVICES": "9",
    }
    driver = project.drive("out/env.txt")
    assert driver.process.returncode == 0, driver.text
    seen = dict(
        line.split("=", 1) for line in project.read("out/env.txt").splitlines() if "=" in line
    )
    assert seen["SLURM_JOB_ID"] != "999"
    assert seen["SLURM_JOB_NAME"] == "env"
    assert seen["SLURM_NTASKS"] == "1"
    assert seen["SLURM_CPUS_PER_TASK"] == "2"
    assert seen["SLURM_MEM_PER_NODE"] == "300"
    assert "SLURM_MEM_PER_CPU" not in seen
    assert seen["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert seen["SLURM_CONF"] == project.environment["SLURM_CONF"]
    assert not [name for name in seen if name.startswith("SUBMITIT_")]


def test_a_job_of_two_nodes(project: Project) -> None:
    driver = project.drive("out/two_nodes.txt")
    assert driver.process.returncode == 0, driver.text
    assert project.read("out/two_nodes.txt").split() == "0 n1 1 n1 2 n2 3 n2".split()


def test_a_refused_submission_fails_its_job_only(project: Project) -> None:
    partition = ("--set-resources", "fail:slurm_partition=nosuch")
    driver = project.drive("both", "--keep-going", *partition, "--config", "num=1")
    assert driver.process.returncode == 1
    assert "submission failed: sbatch: error: invalid partition specified: nosuch" in driver.text
    assert project.read("out/train.0.txt") == "train.0 10.0 resumed at 0\n"


def test_a_failure_tells_id_log_and_last_lines(project: Project) -> None:
    driver = project.drive("out/fail.txt")
    assert driver.process.returncode == 1
    number = re.search(r"slurm job (\d+) failed: fail: command ended with exit", driver.text)
    assert number, driver.text
    log = re.search(r"^log: (\S+)$", driver.text, re.MULTILINE)
    assert log and log[1].endswith(f"/{number[1]}_0_log.out")
    assert Path(log[1]).exists()
    tail = driver.text.split("its last lines:")[1].split("For further error")[0]
    assert "the reason of the failure" in tail
    assert "Traceback" not in tail


def _wrap(project: Project, program: str, body: str) -> None:
    """Put a shell script before a SLURM program; `$real` calls the program itself."""
    folder = project.folder / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / program
    path.write_text(f"#!/bin/bash\nreal=/usr/bin/{program}\n{body}\n")
    path.chmod(0o755)
    project.environment["PATH"] = f"{folder}:{project.environment['PATH']}"


def test_a_busy_controller_is_asked_again(project: Project) -> None:
    _wrap(
        project,
        "sbatch",
        'echo x >> sbatch.calls; if [ $(wc -l < sbatch.calls) -le 2 ]; then echo "sbatch: error: '
        'Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1; fi\n'
        'exec $real "$@"',
    )
    driver = project.drive("all", "--config", "num=1")
    assert driver.process.returncode == 0, driver.text
    assert driver.text.count("The SLURM controller is busy; trying again") == 2
    assert len(project.read("sbatch.calls").split()) == 3
    project.assert_alone()


def test_one_squeue_for_all_jobs_with_back_off(project: Project) -> None:
    _wrap(
        project,
        "squeue",
        "date +%s.%N >> squeue.calls; n=$(wc -l < squeue.calls)\n"
        'if [ $n -ge 3 ] && [ $n -le 5 ]; then echo "slurm_load_jobs error: Unable to contact '
        'slurm controller (connect failure)" >&2; exit 1; fi\nexec $real "$@"',
    )
    driver = project.drive("all", "--config", "num=4", "steps=250")
    assert driver.process.returncode == 0, driver.text
    calls = [float(line) for line in project.read("squeue.calls").split()]
    gaps = [later - earlier for earlier, later in pairwise(calls)]
    assert min(gaps) >= 1.0
    # After each of the three calls that got no answer; checks come about every second.
    for gap, wait in zip(gaps[2:5], (2, 4, 8), strict=True):
        assert wait <= gap < wait + 2
    assert driver.text.count("asking again in") == 3
