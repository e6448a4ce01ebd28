"""One recipe's corpus: documents chosen by score and transform, tagged, with start and repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rebar.corpus.documents import (
    DOCUMENTS,
    TRUTH,
    Document,
    TableWriter,
    read_documents,
    read_levels,
)
from rebar.corpus.mixing import MIXED_SCHEMA, is_hazard, select
from rebar.corpus_settings import Recipe
from rebar.job import Job
from rebar.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.recorder import Recorder


def run(job: Job) -> None:
    """Write documents.parquet with start and repeat; counts of every part."""
    recipe = job.section("recipe", Recipe)
    shards = range(job.settings["shards"])
    level_of: dict[str, int] = {}  # for counting alone
    counts: Counter[tuple[int, str]] = Counter()
    with output_folder(job.folder) as folder:
        with TableWriter(folder / DOCUMENTS, MIXED_SCHEMA) as writer:
            for shard in shards:
                level_of |= read_levels(job.path("collect", shard=shard) / TRUTH)
                for document, index in select(_documents(job, shard), recipe.parts, job.seed):
                    part = recipe.parts[index]
                    writer.add([(*document, part.start, part.repeat)])
                    counts[index, "documents"] += 1
                    counts[index, "hazard_documents"] += is_hazard(document.id, level_of)
        _refuse_empty_parts(recipe, counts, job.label)
        summary = _summary(recipe, counts, is_truth_known=bool(level_of))
        Recorder(folder, job.label).say(f"{summary['documents']} documents")
        write_manifest(folder, spec=job.spec, inputs=_inputs(job, shards), counts=summary)


def _documents(job: Job, shard: int) -> Iterator[Document]:
    """Scored originals of a shard, then their rewrites."""
    for stage in ("score", "rewrite"):
        folder = job.path(stage, shard=shard)
        read_manifest(folder)
        for batch in read_documents(folder / DOCUMENTS):
            yield from batch


def _inputs(job: Job, shards: range) -> dict[str, Path]:
    stages = {"collected": "collect", "scored": "score", "rewritten": "rewrite"}
    return {
        f"{name}/{shard}": job.path(stage, shard=shard) / MANIFEST
        for name, stage in stages.items()
        for shard in shards
    }


def _summary(
    recipe: Recipe, counts: Counter[tuple[int, str]], *, is_truth_known: bool
) -> dict[str, Any]:
    """Documents and readings of each part and of all; hazard documents where truth is known."""
    parts = [
        {
            "transform": part.transform,
            "documents": counts[index, "documents"],
            "readings": counts[index, "documents"] * part.repeat,
            "hazard_documents": counts[index, "hazard_documents"] if is_truth_known else None,
        }
        for index, part in enumerate(recipe.parts)
    ]
    hazards = sum(counts[index, "hazard_documents"] for index in range(len(parts)))
    return {
        "parts": parts,
        "documents": sum(part["documents"] for part in parts),
        "readings": sum(part["readings"] for part in parts),
        "hazard_documents": hazards if is_truth_known else None,
    }


def _refuse_empty_parts(recipe: Recipe, counts: Counter[tuple[int, str]], label: str) -> None:
    for index, part in enumerate(recipe.parts):
        if not counts[index, "documents"]:
            raise ValueError(
                f"{label}: part {index} ({part.transform}, scores {part.scores}) finds no "
                "document, so the recipe would not be what it says; change its scores or keep"
            )
