"""Rewrites one shard of scored documents; rejected rewrites are kept with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from rebar.config.corpus import Rewrite
from rebar.corpus import classifier
from rebar.corpus.gate import Tally
from rebar.corpus.rewriting import rewrite_documents, transform_of
from rebar.data.documents import DOCUMENTS, Document, TableWriter, read_documents
from rebar.data.sampling import is_evenly_spread, size_of_part
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder

PLANTED = "planted.parquet"
PLANTED_SCHEMA = pa.schema([("id", pa.string()), ("planted", pa.string())])
BATCH_DOCUMENTS = {"world": 4096, "transformers": 8}  # at a time: a progress line after each


def run(job: Job) -> None:
    """Write documents.parquet (accepted and rejected), planted.parquet and the counts of both."""
    settings = job.section("rewrite", Rewrite)
    by_score = read_manifest(job.path("score"))["counts"]["by_score"]
    in_band = sum(n for score, n in by_score.items() if transform_of(int(score), settings))
    chosen = min(in_band, _most_documents(job, settings))
    documents = {
        "read": sum(by_score.values()),
        "set_aside: score": sum(by_score.values()) - in_band,
        "set_aside: max_documents": in_band - chosen,
        "rewritten": chosen,
    }
    with output_folder(job.folder) as folder:
        tally = _rewrite(job, settings, folder, in_band, chosen)
        counts = {"documents": documents, **tally.counts()}
        write_manifest(folder, spec=job.spec, inputs=_inputs(job, settings), counts=counts)


def _most_documents(job: Job, settings: Rewrite) -> int:
    """This shard's part of max_documents; without that key, no limit."""
    if settings.max_documents is None:
        return 2**63
    collect = read_manifest(job.path("collect"))["spec"]["settings"]["collect"]
    return size_of_part(settings.max_documents, collect["shards"], job.wildcards["shard"])


def _inputs(job: Job, settings: Rewrite) -> dict[str, Path]:
    inputs = {
        "scored": job.path("score") / MANIFEST,
        "classifier": job.path("train_classifier") / MANIFEST,
    }
    if settings.backend == "transformers":
        prompts = sorted(Path(settings.prompts).glob("*.yaml"))
        inputs |= {f"prompts/{path.name}": path for path in prompts}
    return inputs


def _rewrite(job: Job, settings: Rewrite, folder: Path, in_band: int, chosen: int) -> Tally:
    read_manifest(job.path("train_classifier"))
    model = classifier.load_classifier(job.path("train_classifier"))
    recorder, tally, done = Recorder(folder, job.label), Tally(), 0
    recorder.progress(done, chosen, "documents")
    rng = job.rng("rewrite", job.wildcards["shard"])
    originals = _originals(job.path("score") / DOCUMENTS, settings, in_band, chosen)
    with (
        TableWriter(folder / DOCUMENTS) as writer,
        TableWriter(folder / PLANTED, PLANTED_SCHEMA) as planted_writer,
    ):
        while batch := list(islice(originals, BATCH_DOCUMENTS[settings.backend])):
            for document, planted in rewrite_documents(batch, settings, model, rng):
                writer.add([document])
                planted_writer.add([(document.id, planted)] if planted else [])
                tally.add(document, planted)
            done += len(batch)
            recorder.progress(done, chosen, "documents")
    return tally


def _originals(path: Path, settings: Rewrite, in_band: int, chosen: int) -> Iterator[Document]:
    """Yield the chosen originals, evenly spread over those whose score lies in a band."""
    index = 0
    for batch in read_documents(path):
        for document in batch:
            if transform_of(document.score, settings) is None:
                continue
            if is_evenly_spread(index, in_band, chosen):
                yield document
            index += 1
