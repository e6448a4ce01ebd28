"""Points of running jobs on a server: in one run, each once, and no matter for the training."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rebar import grid
from rebar.cli import main
from rebar.jobs.job import Job
from rebar.jobs.manifest import output_folder, write_manifest
from rebar.jobs.recorder import Recorder
from rebar.runtime import launch, run_job
from rebar.stages import pretrain
from rebar.tracking import live, store
from rebar.tracking.live import RUN_FILE, follow, send_until
from rebar.tracking.runs import METRICS
from tests.conftest import ROOT
from tests.mlflow_server import server
from tests.stages import training_jobs
from tests.stages.test_interrupt import MATCHED, told_at

SETTINGS = {"pretrain": {"steps": 40}, "initial_model": None}


def make_job(root: Path, seed: int = 3) -> Job:
    wildcards = {"seed": seed, "recipe": "raw", "safeguard": "none"}
    job = Job("pretrain", root, wildcards, SETTINGS, {"stage": "ab"})
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    return job


def train(job: Job, *steps: int) -> None:
    with (job.checkpoints / METRICS).open("a") as file:
        for step in steps:
            file.write(json.dumps({"step": step, "loss": 1 / step, "rate": 0.1}) + "\n")


def finish(job: Job) -> None:
    with output_folder(job.folder) as folder:
        (folder / METRICS).write_text((job.checkpoints / METRICS).read_text())
        write_manifest(folder, spec=job.spec, counts={"tokens": 640})


def followed(job: Job, *looks: Any) -> None:
    """Follow a job that does one thing before each look."""
    todo = list(looks)

    def is_over() -> bool:
        todo.pop(0)()
        return not todo

    send_until(job, live._stamps(job), is_over)


def runs(stage: str = "pretrain") -> list[Any]:
    client = store._client()
    found = client.get_experiment_by_name("demo")
    return list(client.search_runs([found.experiment_id], f"tags.stage = '{stage}'"))


def steps_of(run: Any, key: str = "loss") -> list[int]:
    history = store._client().get_metric_history(run.info.run_id, key)
    return [point.step for point in history]


def on_server(stage: str, **tags: str) -> tuple[str, str, list[int]]:
    """Id and status of the stage's one run with these tags, and the steps of its points."""
    (run,) = [run for run in runs(stage) if tags.items() <= run.data.tags.items()]
    return run.info.run_id, run.info.status, steps_of(run)


def steps_in(folder: Path) -> list[int]:
    lines = map(json.loads, (folder / METRICS).read_text().splitlines())
    return [line["step"] for line in lines if "loss" in line]


@pytest.fixture
def job(tmp_path: Path, own_store: Path) -> Job:
    return make_job(tmp_path / "results/demo")


def test_a_killed_job_goes_on_in_its_run_and_the_import_completes_it(job: Job) -> None:
    followed(job, lambda: train(job, 10), lambda: train(job, 20, 30))
    (run,) = runs()
    assert run.info.status == "KILLED"
    assert run.data.params["pretrain.steps"] == "40"
    assert run.data.tags["recipe"] == "raw"

    def resume() -> None:  # from the checkpoint of step 10
        Recorder(job.checkpoints, job.label).truncate(10)
        train(job, 20)

    followed(job, resume, lambda: (train(job, 30, 40), finish(job)))
    (same,) = runs()
    assert (same.info.run_id, same.info.status) == (run.info.run_id, "FINISHED")
    store.import_results(Job("track", job.root, {}, {"name": "demo"}))
    (same,) = runs()
    assert same.info.run_id == run.info.run_id
    assert steps_of(same) == steps_of(same, "rate") == [10, 20, 30, 40]
    assert same.data.metrics["count.tokens"] == 640
    assert same.data.tags["mlflow.parentRunId"]


def test_other_settings_and_a_deleted_run_are_a_new_run(job: Job) -> None:
    followed(job, lambda: train(job, 10))
    changed = Job("pretrain", job.root, job.wildcards, {**SETTINGS, "x": 1}, job.code)
    followed(changed, lambda: train(job, 20))
    assert len(runs()) == 2
    key = json.loads((job.checkpoints / RUN_FILE).read_text())["run"]
    (newest,) = [x.info.run_id for x in runs() if x.data.tags[store.KEY_TAG] == key]
    store._client().delete_run(newest)
    followed(changed, lambda: train(job, 30))
    assert len(runs()) == 2
    assert newest not in {run.info.run_id for run in runs()}


def test_what_an_earlier_job_left_begins_no_run(job: Job) -> None:
    train(job, 10)
    followed(job, lambda: None)
    assert store._client().get_experiment_by_name("demo") is None


@pytest.mark.parametrize(("rank", "times"), [(None, 1), ("0", 1), ("1", 0)])
def test_of_several_processes_one_is_followed(
    job: Job, rank: str | None, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Job] = []
    monkeypatch.setattr(run_job, "follow", lambda job: seen.append(job) or contextlib.nullcontext())
    monkeypatch.setattr(pretrain, "run", lambda job: job.folder.mkdir(parents=True))
    if rank is not None:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
        monkeypatch.setenv("RANK", rank)
    run_job._run(job)
    assert seen == [job] * times


def test_a_launcher_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_job, "follow", lambda job: pytest.fail("followed"))
    monkeypatch.setattr(launch, "launch", lambda job, arguments: 75)
    several = training_jobs.config(processes_per_node=2)
    with pytest.raises(SystemExit) as stop:
        main.main(training_jobs.arguments(several, tmp_path, "pretrain"))
    assert stop.value.code == 75


def test_a_server_that_is_down_costs_one_line(
    job: Job, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with follow(job):
        train(job, 10)
        time.sleep(4)
        train(job, 20)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow at http://127.0.0.1:9 does not answer")


def test_a_server_that_never_answers_does_not_hold_the_job(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SECONDS_AT_END", 2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(KeyError), follow(job):
            train(job, 10)
            raise KeyError  # what ends a job ends it still
        assert time.monotonic() - started < 5


def test_what_sends_is_deaf_to_signals_and_waits_for_an_earlier_jobs(job: Job) -> None:
    path = job.root / grid.lock_file("following pretrain", job.wildcards)
    path.parent.mkdir()
    with path.open("w") as earlier:
        fcntl.flock(earlier, fcntl.LOCK_EX)
        sender = live._start(job.root)
        for number in live.FOR_THE_JOB:
            sender.send_signal(number)
        train(job, 10)
        assert sender.stdin is not None
        sender.stdin.write(json.dumps([job.identity, [[]]]) + "\n")
        sender.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            sender.wait(2)
        assert store._client().get_experiment_by_name("demo") is None
    assert sender.wait(60) == 0
    assert on_server("pretrain")[1:] == ("KILLED", [10])


# ------------------------------------------------------------------- on a real server


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def live_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> Path:
    """Root of a grid whose jobs log to a server, in an experiment of this test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    client = store._client()
    if found := client.get_experiment_by_name("demo"):
        client.rename_experiment(found.experiment_id, f"old {time.time()}")
    return tmp_path / "results/demo"


def one_of_many(root: Path, seed: int) -> None:
    job = make_job(root, seed)
    followed(job, lambda: train(job, *range(1, 101)), lambda: (train(job, 101), finish(job)))


@pytest.mark.slow
def test_fifty_processes_lose_nothing(live_root: Path) -> None:
    fork = multiprocessing.get_context("fork")  # importing mlflow fifty times takes a minute
    jobs = [fork.Process(target=one_of_many, args=(live_root, seed)) for seed in range(50)]
    for process in jobs:
        process.start()
    for process in jobs:
        process.join(200)
    assert [process.exitcode for process in jobs] == [0] * 50
    for _ in range(2):  # as they are, and after the import, which adds what it alone knows
        found = {run.data.tags["seed"]: run for run in runs()}
        assert len(runs()) == len(found) == 50
        assert {run.info.status for run in found.values()} == {"FINISHED"}
        assert all(steps_of(run) == list(range(1, 102)) for run in found.values())
        store.import_results(Job("track", live_root, {}, {"name": "demo"}))
    assert all(run.data.metrics["count.tokens"] == 640 for run in found.values())


TRAINING = """
import sys, time
from rebar.tracking.live import follow
from tests.tracking.test_live import finish, make_job, train, Path
job = make_job(Path(sys.argv[1]))
with follow(job):
    (job.checkpoints / "metrics.jsonl").write_text("")
    for step in range(1, 1 + int(sys.argv[2])):
        train(job, step)
        time.sleep(0.05)
    finish(job)
"""


@pytest.mark.slow
def test_a_job_that_is_killed_and_started_again_has_one_history(live_root: Path) -> None:
    paths = {"PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT}"}
    command = [sys.executable, "-c", TRAINING, str(live_root)]
    killed = subprocess.Popen([*command, "2000"], env=os.environ | paths)
    deadline = time.monotonic() + 120
    while not any(steps_of(run) for run in _begun()) and time.monotonic() < deadline:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    while {run.info.status for run in runs()} != {"KILLED"} and time.monotonic() < deadline:
        time.sleep(0.2)
    (run,) = runs()
    subprocess.run([*command, "40"], env=os.environ | paths, check=True)
    (same,) = runs()
    assert (same.info.run_id, same.info.status) == (run.info.run_id, "FINISHED")
    assert steps_of(same) == list(range(1, 1 + len(steps_of(same))))


@pytest.mark.slow
def test_two_processes_told_to_stop_go_on_in_one_run(live_root: Path) -> None:
    several = training_jobs.config(processes_per_node=2, steps=300)
    training_jobs.pack(live_root, several)
    job = training_jobs.job(several, live_root, "pretrain")
    told = training_jobs.start(several, live_root, "pretrain")
    training_jobs.wait_until_it_trains(told, job.checkpoints)
    os.killpg(told.pid, signal.SIGUSR2)
    assert told.wait() == 75
    assert training_jobs.start(several, live_root, "pretrain").wait() == 0
    assert on_server("pretrain")[1:] == ("FINISHED", steps_in(job.folder))


@pytest.mark.slow
def test_attacks_told_to_stop_go_on_in_their_runs(
    live_root: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(training_jobs.STEPS, "attack", 25)
    settings = training_jobs.config()
    training_jobs.pack(live_root, settings)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for stage in ("pretrain", "align"):
        main.main(training_jobs.arguments(settings, live_root, stage))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    arguments = training_jobs.arguments(settings, live_root, "attack")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match="75"):
        told_at(patch, MATCHED, 13)
        main.main(arguments)
    run_id, status, steps = on_server("attack", attack=MATCHED)
    assert (status, steps) == ("KILLED", [10])
    main.main(arguments)
    folder = training_jobs.job(settings, live_root, "attack").folder
    for _ in range(2):  # as they are, and after the import
        assert on_server("attack", attack=MATCHED)[0] == run_id
        for name in settings.attacks:
            status, steps = on_server("attack", attack=name)[1:]
            assert (status, steps) == ("FINISHED", steps_in(folder / name)), name
        store.import_results(Job("track", live_root, {}, {"name": "demo"}))


def _begun() -> list[Any]:
    return runs() if store._client().get_experiment_by_name("demo") else []
