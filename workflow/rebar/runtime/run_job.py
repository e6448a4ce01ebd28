"""Run one job: take its GPUs and the lock of its folder, call its stage, write its costs."""

from __future__ import annotations

import argparse
import fcntl
import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rebar import grid
from rebar.jobs import checkpoint_signal
from rebar.jobs.job import Job
from rebar.runtime import launch
from rebar.runtime.gpus import take_gpus
from rebar.tracking.live import follow


def run_stage(options: argparse.Namespace) -> None:
    """Run one job and write its costs beside its manifest."""
    text = options.job
    if text.startswith("@"):
        text = Path(text[1:]).read_text(encoding="utf-8")
    job = Job.from_json(text, options.results)
    assert job.stage == options.stage, f"job of {job.stage} given to {options.stage}"
    # The signal is noted from the start, until training acts on it.
    with checkpoint_signal.note_signal(), take_gpus(options.gpus, job.label):
        _quiet_environment(options.results)
        if launch.is_needed(job):
            # Without --gpus: workers share those that were taken here.
            arguments = (job.stage, "--results", str(options.results), "--job", options.job)
            sys.exit(launch.launch(job, arguments))
        if launch.is_worker():
            launch.end_with_launcher()
        _run(job)


def _run(job: Job) -> None:
    stage = grid.STAGES[job.stage]
    run = getattr(_import_lasting(stage.module), stage.function)
    _no_bars_of_libraries()
    startup_seconds = _seconds_of_process()
    if not launch.is_first():
        run(job)  # ends this process: of several only the first returns
        return
    with _alone(job), follow(job):
        run(job)
        if stage.folder:
            _write_costs(job.folder / "costs.json", startup_seconds)


def _import_lasting(module: str) -> ModuleType:
    """Import a module without garbage collection, which would look through torch again and again.

    That takes a fifth of the import's time. What is imported stays, so it needs no look later.
    """
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Wait for another process on the same job: one that a killed driver left behind."""
    path = job.root / grid.lock_file(job.stage, job.wildcards)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{job.label}: another process works on this job; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _quiet_environment(results: Path) -> None:
    """Set what libraries read at import: threads, caches, no telemetry.

    One thread, because parallelism is processes; a stage that sets more calls torch itself.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    cache = results.parent.absolute() / ".compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))


def _no_bars_of_libraries() -> None:
    """Progress is ours to tell: weights of a demo model load in no time."""
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.disable_progress_bar()


def _seconds_of_process() -> float:
    """Wall seconds since this process was started, interpreter start-up included."""
    import psutil

    return time.time() - psutil.Process().create_time()


def _write_costs(path: Path, startup_seconds: float) -> None:
    costs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    costs |= {
        "seconds": round(_seconds_of_process(), 2),
        "startup_seconds": round(startup_seconds, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "finished": round(time.time(), 2),
    }
    torch = sys.modules.get("torch")  # a stage without it takes no GPU
    if torch is not None and torch.cuda.is_available():
        costs["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    path.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n", encoding="utf-8")
