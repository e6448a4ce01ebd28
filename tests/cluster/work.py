"""`python work.py NAME OUTPUT STEPS`: a job that counts steps of 0.1 s, saves and resumes.

It notes begin, steps and end in `times/NAME.jsonl`, with the process's id, so that a test can see
whether two runs of a job overlapped; a run that was killed has no end, its last step stands for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

STEP_SECONDS = 0.1


def main(name: str, output: str, steps: float) -> None:
    """Count to `steps`; SIGUSR2 saves and exits with 75."""
    checkpoint = Path("checkpoints") / f"{name}.json"
    checkpoint.parent.mkdir(exist_ok=True)
    step = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    resumed_at = step

    def save(number: int | None = None, frame: object = None) -> None:
        checkpoint.write_text(json.dumps(step))
        if number:
            note(name, "saved", step)
            sys.exit(75)

    signal.signal(signal.SIGUSR2, save)
    note(name, "begin", step)
    while step < steps:
        time.sleep(STEP_SECONDS)
        step += 1
        note(name, "step", step)
    save()
    Path(output).parent.mkdir(exist_ok=True)
    Path(output).write_text(f"{name} {steps} resumed at {resumed_at}\n")
    note(name, "end", step)


def note(name: str, event: str, step: float) -> None:
    """One line; small enough to be appended whole."""
    path = Path("times") / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    line = {
        "event": event,
        "step": step,
        "time": time.time(),
        "pid": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
