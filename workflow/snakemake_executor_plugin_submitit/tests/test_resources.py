from __future__ import annotations

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_submitit import settings as settings_module
from snakemake_executor_plugin_submitit.resources import parameters, parse_extra, signal_seconds
from snakemake_executor_plugin_submitit.settings import ExecutorSettings, check


def test_a_bare_job(make_job) -> None:
    assert parameters(make_job(), ExecutorSettings()) == {
        "timeout_min": 60,
        "cpus_per_task": 1,
        "nodes": 1,
        "tasks_per_node": 1,
        "stderr_to_stdout": True,
        "slurm_signal_delay_s": 90,
        "slurm_srun_args": [
            "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--distribution=block",
        ],
        "slurm_additional_parameters": {"requeue": True},
    }  # fmt: skip


def test_every_resource(make_job) -> None:
    job = make_job(
        threads=2,
        resources={
            "slurm_partition": "p", "slurm_account": "a", "qos": "q", "constraint": "c",
            "mem_mb": 3000, "runtime": 30, "cpus_per_task": 4, "gpu": 2, "gpu_model": "h100",
            "nodes": 2, "tasks_per_node": 2, "slurm_extra": "--exclusive --reservation=r",
            "disk_mb": 7, "tmpdir": "/tmp",
        },
    )  # fmt: skip
    result = parameters(job, ExecutorSettings(time_factor=1.5, memory_factor=2.0))
    assert result == {
        "timeout_min": 45,
        "cpus_per_task": 4,
        "nodes": 2,
        "tasks_per_node": 2,
        "stderr_to_stdout": True,
        "slurm_partition": "p",
        "slurm_account": "a",
        "slurm_qos": "q",
        "slurm_constraint": "c",
        "slurm_mem": "6000MB",
        "slurm_gpus_per_node": "h100:2",
        "slurm_signal_delay_s": 90,
        "slurm_srun_args": [
            "--nodes=1", "--ntasks=1", "--cpus-per-task=8", "--distribution=block",
        ],
        "slurm_additional_parameters": {"requeue": True, "exclusive": True, "reservation": "r"},
    }  # fmt: skip


def test_options_of_the_site_give_way_to_resources(make_job) -> None:
    options = ExecutorSettings(
        partition="cpu", gpu_partition="gpu", account="a", qos="q", gpu_type="a100",
        setup="module load x", extra="--nice=5",
    )  # fmt: skip
    plain = parameters(make_job(), options)
    assert (plain["slurm_partition"], plain["slurm_account"]) == ("cpu", "a")
    assert plain["slurm_setup"] == ["module load x"]
    assert plain["slurm_additional_parameters"] == {"requeue": True, "nice": "5"}
    with_gpu = parameters(make_job(resources={"gpu": 1}), options)
    assert with_gpu["slurm_partition"] == "gpu"
    assert with_gpu["slurm_gpus_per_node"] == "a100:1"
    own = {"slurm_partition": "p", "qos": "z", "gpu": 1, "gpu_model": "v100", "slurm_extra": ""}
    result = parameters(make_job(resources=own), options)
    assert (result["slurm_partition"], result["slurm_qos"]) == ("p", "z")
    assert result["slurm_gpus_per_node"] == "v100:1"
    assert result["slurm_additional_parameters"] == {"requeue": True}


def test_memory_per_cpu_wins(make_job) -> None:
    job = make_job(resources={"mem_mb": 3000, "mem_mb_per_cpu": 500})
    result = parameters(job, ExecutorSettings())
    assert result["slurm_mem_per_cpu"] == "500MB"
    assert "slurm_mem" not in result


def test_local_jobs_get_only_what_submitit_can_do(make_job) -> None:
    job = make_job(resources={"gpu": 1, "mem_mb": 9, "slurm_partition": "p", "runtime": 2})
    assert parameters(job, ExecutorSettings(cluster="local", setup="true")) == {
        "timeout_min": 2,
        "cpus_per_task": 1,
        "nodes": 1,
        "gpus_per_node": 1,
        "stderr_to_stdout": True,
        "local_setup": ["true"],
    }


def test_the_signal_comes_after_half_of_the_time_at_the_earliest() -> None:
    assert signal_seconds(60, ExecutorSettings()) == 90
    assert signal_seconds(1, ExecutorSettings()) == 30
    assert signal_seconds(60, ExecutorSettings(cluster="local")) == 30


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"slurm_partitoin": "p"}, "Resource slurm_partitoin is unknown. Known: slurm_partition,"),
        ({"runtime": "soon"}, "Resource runtime='soon' is not a whole number."),
        ({"slurm_extra": "-p x"}, "slurm_extra: '-p' is not of the form --option=value"),
        ({"slurm_extra": "--comment=x"}, "slurm_extra: --comment is set by the executor"),
    ],
)
def test_mistakes(make_job, resources: dict, sentence: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parameters(make_job(resources=resources), ExecutorSettings())
    assert str(caught.value).startswith(sentence)


def test_extra_with_quotes() -> None:
    assert parse_extra("--exclude='n1,n2' --mail-user=me") == {
        "exclude": "n1,n2",
        "mail-user": "me",
    }


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module.shutil, "which", lambda name: None)
    check(ExecutorSettings(cluster="local"))
    with pytest.raises(WorkflowError, match="sbatch is not on the PATH"):
        check(ExecutorSettings())
    with pytest.raises(WorkflowError, match="--submitit-array-limit=0: it must be at least 1"):
        check(ExecutorSettings(cluster="local", array_limit=0))
    with pytest.raises(WorkflowError, match=r"--submitit-time-factor=0\.0: it must be above 0"):
        check(ExecutorSettings(cluster="local", time_factor=0.0))
