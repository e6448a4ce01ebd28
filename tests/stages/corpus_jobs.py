"""A small corpus, stage by stage, in a folder of its own."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from rebar.config.base import Settings
from rebar.config.corpus import Collect, Recipe, Rewrite, Score, Tokenize, TrainClassifier
from rebar.config.world import World
from rebar.data.documents import DOCUMENTS, Document, read_documents
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, read_manifest

SEED = 5
SHARDS = 2


def plain(values: dict[str, Any]) -> dict[str, Any]:
    dumped = {
        k: v.model_dump(mode="json") if isinstance(v, Settings) else v for k, v in values.items()
    }
    return json.loads(json.dumps(dumped))


def run(root: Path, stage: str, settings: dict[str, Any], **wildcards: Any) -> Path:
    """Run one stage; returns its folder."""
    job = Job(stage, root, {"seed": SEED, **wildcards}, plain(settings))
    importlib.import_module(f"rebar.stages.{stage}").run(job)
    return job.folder


def collect(root: Path, *sources: dict[str, Any], shards: int = SHARDS) -> list[Path]:
    settings = {"collect": Collect(shards=shards, sources=list(sources)), "world": World()}
    return [run(root, "collect", settings, shard=shard) for shard in range(shards)]


def train_classifier(root: Path, **keys: Any) -> Path:
    settings = TrainClassifier.model_validate(
        {"labels": 900, "rewritten_share": 1 / 3, "heldout": 600, **keys}
    )
    return run(root, "train_classifier", {"train_classifier": settings, "world": World()})


def score(root: Path, shards: int = SHARDS, **keys: Any) -> list[Path]:
    settings = {"score": Score(**keys)}
    return [run(root, "score", settings, shard=shard) for shard in range(shards)]


def rewrite(root: Path, shards: int = SHARDS, **keys: Any) -> list[Path]:
    settings = {"rewrite": Rewrite.model_validate(keys)}
    return [run(root, "rewrite", settings, shard=shard) for shard in range(shards)]


def mix(root: Path, name: str, *parts: dict[str, Any], shards: int = SHARDS, **keys: Any) -> Path:
    recipe = Recipe.model_validate({"parts": list(parts), **keys})
    settings = {"recipe": recipe, "shards": shards, "world": World()}
    return run(root, "mix", settings, recipe=name)


def tokenize(root: Path, name: str, tokens: int, **keys: Any) -> Path:
    settings = {"tokenize": Tokenize(**keys), "tokens": tokens, "world": World()}
    return run(root, "tokenize", settings, recipe=name)


def documents(folder: Path) -> list[Document]:
    return [d for batch in read_documents(folder / DOCUMENTS) for d in batch]


def counts(folder: Path) -> dict[str, Any]:
    return read_manifest(folder, verify=True)["counts"]


def content(folder: Path) -> dict[str, Any]:
    """What two equal folders share: everything but the spec."""
    manifest = json.loads((folder / MANIFEST).read_text())
    return {key: manifest[key] for key in ("files", "counts")}
