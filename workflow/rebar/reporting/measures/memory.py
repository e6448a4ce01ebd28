"""Trainings that ran out of memory: their last bits depend on the machine, which is reported."""

from __future__ import annotations

from pathlib import Path

from rebar import grid
from rebar.config.file import Config
from rebar.grid import dag
from rebar.jobs.manifest import MANIFEST, load_manifest


def memory_sentences(root: Path, config: Config) -> list[str]:
    """One sentence per model whose batches were computed in more parts than configured."""
    places = dag.jobs(dag.all_jobs(config), *grid.TRAINING_STAGES)
    models = [item for place in places for item in (place, *dag.items(config, place))]
    found = []
    for model in models:
        parts = _parts(root / model)
        if parts:
            found.append(
                f"{model}: memory was short, so that batches were computed in {parts} parts; a "
                "machine with more memory gives slightly different weights."
            )
    return found


def _parts(folder: Path) -> int:
    """The number of parts of a batch; 0 if it was as configured."""
    if not (folder / MANIFEST).exists():
        return 0
    return int(load_manifest(folder).get("gradient_accumulation", 0))
