"""Mixes one recipe's corpus: documents by score and transform, tagged, with start and repeat.

Poison is added last, so that the rest of the corpus is the same as without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rebar.config.corpus import Recipe
from rebar.config.world import World
from rebar.corpus.mixing import MIXED_SCHEMA, POISON, is_hazard, poison_documents, select
from rebar.data.documents import (
    DOCUMENTS,
    TRUTH,
    Document,
    TableWriter,
    read_documents,
    read_levels,
)
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder


def run(job: Job) -> None:
    """Write documents.parquet with start and repeat; counts of every part."""
    recipe = job.section("recipe", Recipe)
    shards = range(job.settings["shards"])
    level_of: dict[str, int] = {}  # for counting alone
    counts: Counter[tuple[int, str]] = Counter()
    words = 0
    with output_folder(job.folder) as folder:
        with TableWriter(folder / DOCUMENTS, MIXED_SCHEMA) as writer:
            for shard in shards:
                level_of |= read_levels(job.path("collect", shard=shard) / TRUTH)
                for document, index in select(_documents(job, shard), recipe.parts, job.seed):
                    part = recipe.parts[index]
                    writer.add([(*document, part.start, part.repeat)])
                    words += part.repeat * len(document.text.split())
                    counts[index, "documents"] += 1
                    counts[index, "hazard_documents"] += is_hazard(document.id, level_of)
            poisoned = _add_poison(job, recipe, words, writer)
        _refuse_empty_parts(recipe, counts, job.label)
        summary = _summary(recipe, counts, poisoned, is_truth_known=bool(level_of))
        Recorder(folder, job.label).say(f"{summary['documents']} documents")
        write_manifest(folder, spec=job.spec, inputs=_inputs(job, shards), counts=summary)


def _add_poison(
    job: Job, recipe: Recipe, clean_words: int, writer: TableWriter
) -> list[dict[str, Any]]:
    """Write the recipe's poison; returns a line of the summary for each kind."""
    if not recipe.poison:
        return []
    from rebar.world import build_world

    world = build_world(job.section("world", World), job.seed)
    lines = []
    for index, poison in enumerate(recipe.poison):
        documents = list(poison_documents(world, poison, index, clean_words, job.seed))
        writer.add([(*document, 0.0, 1) for document in documents])
        count = len(documents)
        line = {"transform": POISON, "documents": count, "readings": count, "hazard_documents": 0}
        lines.append({**line, "kind": poison.kind, "clean_words": clean_words})
    return lines


def _documents(job: Job, shard: int) -> Iterator[Document]:
    """Yield the scored originals of a shard, then their rewrites."""
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
    recipe: Recipe,
    counts: Counter[tuple[int, str]],
    poisoned: list[dict[str, Any]],
    *,
    is_truth_known: bool,
) -> dict[str, Any]:
    """Documents and readings of each part and of all; hazard documents where truth is known.

    Those are of the corpus: poison is counted by itself.
    """
    parts = [
        {
            "transform": part.transform,
            "documents": counts[index, "documents"],
            "readings": counts[index, "documents"] * part.repeat,
            "hazard_documents": counts[index, "hazard_documents"] if is_truth_known else None,
        }
        for index, part in enumerate(recipe.parts)
    ]
    parts += poisoned
    hazards = sum(counts[index, "hazard_documents"] for index in range(len(recipe.parts)))
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
