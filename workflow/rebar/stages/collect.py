"""Collects one shard of all sources; what is known about a document goes into its own table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rebar.config.corpus import Collect, FileSource, HubSource, WorldSource
from rebar.config.world import World
from rebar.corpus.sources import Shard, check_not_empty, documents_of, input_files_of
from rebar.data.documents import DOCUMENTS, TRUTH, TRUTH_SCHEMA, TableWriter
from rebar.jobs.job import Job
from rebar.jobs.manifest import output_folder, write_manifest
from rebar.jobs.recorder import Recorder


def run(job: Job) -> None:
    """Write this shard's documents.parquet and truth.parquet."""
    settings = job.section("collect", Collect)
    with output_folder(job.folder) as folder:
        counts = _collect(job, settings, folder)
        inputs = input_files_of(settings.sources, _shard(job, settings))
        write_manifest(folder, spec=job.spec, inputs=inputs, counts=counts)


def _shard(job: Job, settings: Collect) -> Shard:
    return Shard(job.wildcards["shard"], settings.shards)


def _collect(job: Job, settings: Collect, folder: Path) -> dict[str, dict[str, int]]:
    recorder = Recorder(folder, job.label)
    counts = {}
    with (
        TableWriter(folder / DOCUMENTS) as documents,
        TableWriter(folder / TRUTH, TRUTH_SCHEMA) as truths,
    ):
        for source in settings.sources:
            counted = _collect_source(job, settings, source, documents, truths)
            recorder.say(f"{counted['documents']} of {counted['read']} documents of {source.name}")
            counts[source.name] = dict(counted)
    return counts


def _collect_source(
    job: Job,
    settings: Collect,
    source: WorldSource | FileSource | HubSource,
    documents: TableWriter,
    truths: TableWriter,
) -> Counter[str]:
    shard = _shard(job, settings)
    counts: Counter[str] = Counter(read=0, documents=0)
    world, rng = job.section("world", World), job.rng("collect", source.name, shard.index)
    for found in documents_of(source, shard, world=world, seed=job.seed, rng=rng, counts=counts):
        documents.add([found.document])
        truths.add([found.truth] if found.truth else [])
        counts["documents"] += 1
    if not counts["documents"]:
        check_not_empty(source)
    return counts
