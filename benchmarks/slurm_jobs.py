"""100 short jobs through our executor and through submitit's own `map_array`, on a real SLURM.

The tests' private SLURM is used; without SLURM a row says that nothing was measured. Our time is
the wall time of the whole `snakemake` command: start-up, DAG, submission as one array, and the
Snakemake that runs each job on its node. The peer's time runs from `map_array` to the last result,
without imports. Both look for results once a second, request the same resources, and take turns
after a short turn that does not count. The first peer runs the same commands: the calls of
Snakemake that any Snakemake executor sends to the nodes. The second peer runs the bare shell
commands.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.cluster.private_slurm import PrivateSlurm, missing_programs

from benchmarks.rows import make_row

JOBS, WARM_UP_JOBS, SLEEP, TURNS = 100, 10, 0.2, 2
SLOTS, LOCAL_CORES = 8, 2  # the private SLURM has two nodes with four CPUs
PLUGIN = Path(__file__).parent.parent / "workflow/snakemake_executor_plugin_submitit/src"
SNAKEFILE = f"""\
rule all:
    input: expand("out/{{x}}.txt", x=range(config["num"]))
rule short:
    output: "out/{{x}}.txt"
    shell: "sleep {SLEEP}; touch {{output}}"
"""
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--quiet", "all"]
BARE, NODES = "map_array_of_shell", "map_array"


def run_snakemake(folder: Path, num: int, *arguments: str) -> float:
    """Seconds of a whole run of Snakemake."""
    begin = time.perf_counter()
    subprocess.run(
        [*SNAKEMAKE, *arguments, "--config", f"num={num}", "--", "all"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PLUGIN)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begin


def run_ours(folder: Path, num: int) -> float:
    """Seconds with our executor."""
    polls = ("--seconds-between-status-checks", "1", "--submitit-squeue-seconds", "1")
    return run_snakemake(folder, num, "--executor", "submitit", "--jobs", str(num), *polls)


def run_locally(folder: Path, num: int) -> float:
    """Seconds of the same workflow in Snakemake's own processes."""
    return run_snakemake(folder, num, "--cores", str(LOCAL_CORES))


def bare_command(number: int) -> list[str]:
    """The shell command of the rule."""
    return ["bash", "-c", f"sleep {SLEEP}; touch out/{number}.txt"]


def node_command(number: int) -> list[str]:
    """The call of Snakemake that runs one job on its node."""
    options = ["--mode", "remote", "--cores", "1", "--nolock", "--config", "num=0"]
    return [*SNAKEMAKE, *options, "--", f"out/{number}.txt"]


def run_map_array(folder: Path, num: int, command: Callable[[int], list[str]]) -> float:
    """Seconds from `map_array` to the last result."""
    import submitit

    executor = submitit.AutoExecutor(folder / "logs", cluster="slurm")
    executor.update_parameters(timeout_min=60, cpus_per_task=1, slurm_array_parallelism=num)
    (folder / "out").mkdir()
    call = partial(subprocess.check_call, cwd=folder)
    begin = time.perf_counter()
    jobs = executor.map_array(call, [command(number) for number in range(num)])
    # Not `job.wait`, which also asks sacct; the private SLURM keeps no accounts.
    while not all(job.paths.result_pickle.exists() for job in jobs):
        time.sleep(1)
    return time.perf_counter() - begin


CONTESTANTS: dict[str, Callable[[Path, int], float]] = {
    "ours": run_ours,
    "local": run_locally,
    BARE: partial(run_map_array, command=bare_command),
    NODES: partial(run_map_array, command=node_command),
}


def measure() -> dict[str, float]:
    """Median seconds of each contestant."""
    # The path must be short, because a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as place:
        cluster = PrivateSlurm(Path(place))
        try:
            cluster.start()
            with patch.dict(os.environ, SLURM_CONF=str(cluster.conf)):
                take_turn(Path(place) / "warm-up", WARM_UP_JOBS)
                turns = [take_turn(Path(place) / f"turn{turn}", JOBS) for turn in range(TURNS)]
        finally:
            cluster.stop()
    return {name: statistics.median(turn[name] for turn in turns) for name in CONTESTANTS}


def take_turn(place: Path, num: int) -> dict[str, float]:
    """Seconds of each contestant; asserts that all files were made."""
    seconds = {}
    for name, run in CONTESTANTS.items():
        folder = place / name
        folder.mkdir(parents=True)
        (folder / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
        seconds[name] = run(folder, num)
        made = len(list(folder.glob("out/*.txt")))
        assert made == num, f"{name}: {made} of {num} files"
        print(f"{place.name}: {name} {seconds[name]:.1f} s", file=sys.stderr)
    return seconds


def orchestration_seconds(seconds: float, slots: int) -> float:
    """Seconds per job that are not the job's own work."""
    return (seconds - SLEEP * JOBS / slots) / JOBS


def slurm_rows() -> list[dict[str, Any]]:
    """All rows of short jobs, or one that says that there is no SLURM."""
    if missing := missing_programs():
        return [make_row(f"slurm_v_{NODES}", None, None, "s", f"skipped: no {', '.join(missing)}")]
    took = measure()
    note = (
        f"{JOBS} jobs of {SLEEP} s, median of {TURNS} turns after {WARM_UP_JOBS} jobs for warm-up, "
        f"{SLOTS} slots on {os.cpu_count()} cores; ours: the whole command, start-up included; "
        "peer: from map_array to the last result, without imports"
    )
    inner = "the Snakemake that each job starts on its node"
    ours, bare = (
        orchestration_seconds(took["ours"], SLOTS),
        orchestration_seconds(took[BARE], SLOTS),
    )
    local = orchestration_seconds(took["local"], LOCAL_CORES)
    return [
        make_row(f"slurm_v_{NODES}", took["ours"], took[NODES], "s", f"{note}, {inner} in it too"),
        make_row(f"slurm_v_{BARE}", took["ours"], took[BARE], "s", f"{note}, {inner} not in it"),
        make_row(
            "orchestration_slurm", ours, bare, "s a job", f"wall less work; peer {BARE}; {note}"
        ),
        make_row("orchestration_local", local, None, "s a job", f"on {LOCAL_CORES} cores; {note}"),
    ]
