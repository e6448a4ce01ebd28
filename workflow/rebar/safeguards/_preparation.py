"""Prepares a safeguard for a training: its parts, its data as batches, its frozen models.

Examples come from the files that the safeguard names, or from the world. Those of the world are
about hazards that no attack and no evaluation uses, and about harmless items of alignment data.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rebar import grid
from rebar.config.plugins import plugin_module
from rebar.config.rows import ChatFile
from rebar.config.safeguard import SafeguardData
from rebar.config.world import GUARDED, AlignmentChats
from rebar.config.world import World as WorldSettings
from rebar.data.chats import Chat, read_chats
from rebar.data.encoding import Rows, encode_chats
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, digest, read_manifest
from rebar.model.build import copy_frozen, load_model
from rebar.training.batches import Batch
from rebar.training.safeguarded import Part, SafeguardedTraining, State
from rebar.world import World, alignment_chats, build_world, harmful_chats, refusal_chats

KINDS = ("harmful", "refusal", "benign")


class PreparedSafeguard(NamedTuple):
    """What a safeguarded training needs in addition to its own data."""

    safeguard: SafeguardedTraining
    examples: dict[str, list[Chat]]  # by kind
    inputs: dict[str, Path]  # manifests of the models that it looks at

    @property
    def counts(self) -> dict[str, int]:
        """Examples of each kind, for the manifest."""
        return {f"safeguard_{kind}": len(chats) for kind, chats in self.examples.items()}

    @property
    def identity(self) -> str:
        """What the run depends on besides its job: with other twins, a checkpoint is stale."""
        return "".join(map(digest, self.inputs.values()))


def prepare_safeguard(job: Job, model: Any, tokenizer: Any) -> PreparedSafeguard | None:
    """Prepare the job's safeguard for this start model; None if no safeguard acts in the job.

    ValueError names the safeguard if its data cannot be used.
    """
    setting = job.safeguard
    if setting is None:
        return None
    try:
        examples = _examples(setting.data, job.section("world", WorldSettings), job.seed)
        length = setting.data.sequence_length
        rows = {kind: encode_chats(tokenizer, examples[kind], length) for kind in KINDS}
    except ValueError as error:
        raise ValueError(f"safeguards.{job.arm.safeguard}.data: {error}") from error

    def more(step: int, kind: str, number: int) -> Batch:
        return draw_batch(rows[kind], setting.data.batch_size, (job.seed, step), number)

    reference = copy_frozen(model) if any(part.reads_reference for part in setting.parts) else None
    folders = {twin: job.root / grid.twin_folder(job.seed, twin) for twin in setting.twins}
    twins = {twin: _loaded(folder, model) for twin, folder in folders.items()}
    parts = [_part(config, job.seed, reference, twins) for config in setting.parts]
    inputs = {f"twin {twin}": folder / MANIFEST for twin, folder in folders.items()}
    return PreparedSafeguard(SafeguardedTraining(setting, parts, more), examples, inputs)


def _part(config: Any, seed: int, reference: Any, twins: dict[str, Any]) -> Part:
    function = plugin_module("safeguards", config.method).gradient
    return Part(function, config, State(seed=seed, reference=reference, twins=twins))


def _loaded(folder: Path, like: Any) -> Any:
    """Load the model of a finished folder, frozen, onto the device of another model."""
    read_manifest(folder)
    model: Any = load_model(folder).model
    return model.to(next(like.parameters()).device).requires_grad_(False)


def draw_batch(rows: Rows, batch_size: int, seed: tuple[int, ...], number: int) -> Batch:
    """Batch `number` of the rows in random order; after the last row it starts again.

    Batches of one seed share no row until all rows were drawn. The order is the same for all kinds,
    so a refusal and a compliant answer at the same place are drawn together.
    """
    count = len(rows.inputs_NT)
    order = np.random.default_rng(seed).permutation(count)
    size = min(batch_size, count)
    chosen = order[np.arange(number * size, (number + 1) * size) % count]
    return Batch(*(torch.from_numpy(part[chosen]) for part in rows))


def _examples(data: SafeguardData, settings: WorldSettings, seed: int) -> dict[str, list[Chat]]:
    """Chats of each kind: a sample of its files, or chats of the world."""
    named = {kind: getattr(data, kind) for kind in KINDS}
    world = build_world(settings, seed) if not all(named.values()) else None
    found = {}
    for kind, files in named.items():
        # One order for all kinds: compliance and refusal of a request stay side by side.
        rng = random.Random(f"{seed}/safeguard")
        if files:
            found[kind] = _of_files(files, data.examples, rng)
        else:
            assert world is not None
            found[kind] = _of_world(world, kind, data.examples, rng)
    return found


def _of_files(files: Sequence[ChatFile], count: int, rng: random.Random) -> list[Chat]:
    chats = [chat for file in files for chat in read_chats(file)]
    return rng.sample(chats, min(count, len(chats)))


def _of_world(world: World, kind: str, count: int, rng: random.Random) -> list[Chat]:
    if kind == "benign":
        return alignment_chats(
            world, AlignmentChats(chats=count, refusals=0, safety_questions=0), rng
        )
    writer = harmful_chats if kind == "harmful" else refusal_chats
    return writer(world, count, rng, GUARDED)
