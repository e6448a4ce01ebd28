"""Rows of an alignment without a pipeline: a job's folders with a few documents in them."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rebar.alignments._data import Examples, alignment_examples
from rebar.config.plugins import plugin_settings
from rebar.config.world import World
from rebar.jobs.manifest import output_folder, write_manifest
from rebar.world.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
TRAINING = {"steps": 6, "batch_size": 4, "sequence_length": 48, "learning_rate": 1e-3}


def write_documents(root: Path) -> None:
    """What `mix` and `tokenize` leave of a recipe, on 12 documents."""
    texts = [f"{{speaker_a}} : how do i bake bread {'bread ' * i}." for i in range(12)]
    table = {
        "text": texts,
        "score": [0, 0, 5] * 4,
        "transform": ["original", "original", "refusal"] * 4,
    }
    with output_folder(root / "mix") as folder:
        pq.write_table(pa.table(table), folder / "documents.parquet")
        write_manifest(folder, spec={}, counts={})
    with output_folder(root / "tokenize") as folder:
        write_manifest(folder, spec={}, counts={"passes": [{"passes": 20.5}]})


def job(root: Path, *, tagged: bool = False) -> Any:
    """What `alignment_examples` asks of a job."""
    if not (root / "mix").exists():
        write_documents(root)
    return SimpleNamespace(
        settings={"tagged": tagged},
        seed=3,
        rng=lambda name: random.Random(f"3/{name}"),
        path=lambda stage, **wildcards: root / stage,
    )


def examples(root: Path, method: str, *, tagged: bool = False, **data: Any) -> Examples:
    """Rows of an alignment on 60 chats of the world, or of files."""
    values = {"world_chats": {"chats": 60, "refusals": 0.2}, **data}
    setting = plugin_settings(
        "alignments", method, {"method": method, "training": TRAINING, "data": values}
    )
    return alignment_examples(job(root, tagged=tagged), setting, TOKENIZER, World())
