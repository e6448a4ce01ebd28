"""Jobs that make several items, each in a folder with a manifest of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, write_manifest


def make_items(
    job: Job, kind: str, names: Sequence[str], make: Callable[[Job, str, str], None]
) -> None:
    """Call `make(job, name, label)` for each item, then list all of them in the job's manifest."""
    for number, name in enumerate(names, start=1):
        make(job, name, f"{job.label} {name} ({number}/{len(names)})")
    inputs = {name: job.folder / name / MANIFEST for name in names}
    with output_folder(job.folder) as folder:
        write_manifest(folder, spec=job.spec, inputs=inputs, counts={kind: len(names)})
