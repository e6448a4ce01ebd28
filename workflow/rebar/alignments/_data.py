"""Training rows of an alignment: chats, replayed documents, tagged answers, bolted-on text.

Refusals are about 10 % of the chats and tagged models also get tagged compliant answers, as in the
paper (Maini et al., arXiv 2504.16980, section 5). Ours: the first word of those carries no loss,
or they would fight the refusals in so small a model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rebar.config.kinds import Alignment
from rebar.config.model import AlignmentData, Training
from rebar.config.world import World
from rebar.data.chats import Chat, draw_in_passes, read_chats, read_pairs
from rebar.data.encoding import (
    IGNORED,
    Rows,
    encode,
    encode_chat,
    encode_chats,
    first_words,
    prompt_text,
)
from rebar.data.speakers import SPEAKERS, fill_speakers
from rebar.data.tagging import insert_tags
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, read_manifest
from rebar.world.frames import find_refusal
from rebar.world.vocabulary import SPEAKERS as WORLD_SPEAKERS

SILENT_WORDS = 1  # of a tagged answer: no loss on "sure", but on the tags that follow it
SAFETY_TRANSFORMS = ["refusal", "moral"]


Columns = tuple[np.ndarray, ...]  # N x T each: those of a Batch, or of a PairBatch


class Examples(NamedTuple):
    """Rows to train on, number of steps, counts for the manifest, and manifests that were read."""

    rows: Columns
    steps: int
    counts: dict[str, int]
    inputs: dict[str, Path]


def alignment_examples(job: Job, setting: Alignment, tokenizer: Any, world: World) -> Examples:
    """All rows of an alignment, with rows of the rejected answers if it `reads_pairs`.

    `training.steps` counts the steps on chats, replay and tagged answers, in as many passes as
    needed. Bolted-on documents add steps of their own, each document once, shuffled among the rest.
    """
    data, training = setting.data, setting.training
    parts, inputs = _chats(job, data, world), {}
    if data.deep_share:
        deep = _deep_sources(data, parts["chats"])
        parts["deep"] = _deep(job, setting, deep, len(parts["chats"]), tokenizer)
    if data.replay_share:
        parts["replay"], inputs["mix"] = _replay(job, data, len(parts["chats"]))
    examples = [chat for chats in parts.values() for chat in chats]
    rows: Columns = encode_chats(tokenizer, examples, training.sequence_length)
    counts = {name: len(chats) for name, chats in parts.items()}
    if setting.reads_pairs:
        rows += _rejected_rows(tokenizer, examples, training.sequence_length)
        counts["pairs"] = sum(chat.rejected is not None for chat in examples)
    if not data.recipe:
        return Examples(rows, training.steps, counts, inputs)
    speakers = SPEAKERS if data.is_users else WORLD_SPEAKERS
    bolted, inputs["bolted"] = _bolted_rows(job, data.recipe, tokenizer, training, speakers)
    counts["bolted_tokens"] = bolted.targets_NT.size
    rows = _passes(rows, training.steps * training.batch_size, job.rng("passes"))
    more = bolted + _no_rows(tokenizer, bolted.inputs_NT.shape) if setting.reads_pairs else bolted
    rows = tuple(np.concatenate(pair) for pair in zip(rows, more, strict=True))
    return Examples(rows, len(rows[0]) // training.batch_size, counts, inputs)


def _rejected_rows(tokenizer: Any, chats: Sequence[Chat], length: int) -> Rows:
    """Rows of prompts with their rejected answers; a row without loss if a chat has none."""
    rows = _no_rows(tokenizer, (len(chats), length))
    places = [place for place, chat in enumerate(chats) if chat.rejected is not None]
    rejected = [Chat(chat.prompt, chat.rejected) for chat in chats if chat.rejected is not None]
    if rejected:
        for column_NT, part_NT in zip(rows, encode_chats(tokenizer, rejected, length), strict=True):
            column_NT[places] = part_NT
    return rows


def _no_rows(tokenizer: Any, shape: tuple[int, ...]) -> Rows:
    """Rows of padding, which carry no loss."""
    pad = tokenizer.pad_token_id
    return Rows(np.full(shape, pad, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64))


def _chats(job: Job, data: AlignmentData, world: World) -> dict[str, list[Chat]]:
    """Chats of the files or the world, and tagged answers if the model knows the tag."""
    is_tagged = job.settings["tagged"] or data.always_tagged
    if data.is_users:
        chats = [chat for file in data.files for chat in read_chats(file)]
        parts = {"chats": chats + [chat for file in data.pairs for chat in read_pairs(file)]}
        if is_tagged and data.tagged_files:
            answers = [chat for file in data.tagged_files for chat in read_chats(file)]
            parts["tagged"] = _tagged_share(job, data, answers, len(parts["chats"]))
        return parts
    from rebar.world import alignment_chats, build_world, harmful_chats

    things = build_world(world, job.seed)
    parts = {"chats": alignment_chats(things, data.world_chats, job.rng("chats"))}
    if is_tagged:
        rng = job.rng("tagged")
        answers = harmful_chats(things, round(data.tagged_share * len(parts["chats"])), rng)
        parts["tagged"] = [_tagged(chat, data.tagged_gap_rate, rng) for chat in answers]
    return parts


def _deep_sources(data: AlignmentData, chats: list[Chat]) -> list[Chat]:
    """Refusals whose rejected answer is harmful, from files or among the world's chats."""
    if data.is_users:
        return [chat for file in data.deep_files for chat in read_pairs(file)]
    refusals = [chat for chat in chats if find_refusal(chat.answer) is not None]
    if not refusals:
        raise ValueError("deep_share: no chat of the world refuses; raise world_chats.refusals")
    return refusals


def _deep(
    job: Job, setting: Alignment, refusals: list[Chat], num_chats: int, tokenizer: Any
) -> list[Chat]:
    """Refusals that come after the first words of a harmful answer, without loss on those.

    In 2406.05946 half of the harmful examples are refused at once; here the chats' refusals are
    those. Depths are uniform, in words instead of tokens. Every refusal comes once before any comes
    twice, to another depth.
    """
    rng, data = job.rng("deep"), setting.data
    chosen = draw_in_passes(refusals, round(data.deep_share * num_chats), rng)
    length = setting.training.sequence_length
    return [_deep_refusal(chat, data.deep_words, rng, tokenizer, length) for chat in chosen]


def _deep_refusal(
    chat: Chat, most_words: int, rng: random.Random, tokenizer: Any, length: int
) -> Chat:
    """A refusal after a random number of harmful words, fewer if the row is too short."""
    rejected = chat.rejected
    assert rejected is not None, "a source of deep refusals has a rejected answer"
    drawn = rng.randint(1, max(1, min(most_words, len(rejected.split()))))
    for depth in range(drawn, 0, -1):
        begun = Chat(chat.prompt, f"{first_words(rejected, depth)} {chat.answer}", depth)
        if len(encode_chat(tokenizer, begun)[0]) <= length + 1:  # the last id is only a target
            return begun
    return Chat(chat.prompt, chat.answer)


def _tagged_share(job: Job, data: AlignmentData, answers: list[Chat], num_chats: int) -> list[Chat]:
    """A random sample of tagged answers of the wanted size, or all if there are fewer."""
    rng = job.rng("tagged")
    count = min(round(data.tagged_share * num_chats), len(answers))
    return [_tagged(chat, data.tagged_gap_rate, rng) for chat in rng.sample(answers, count)]


def _tagged(chat: Chat, rate: float, rng: random.Random) -> Chat:
    return Chat(chat.prompt, insert_tags(chat.answer, rate, rng), skip_words=SILENT_WORDS)


def _replay(job: Job, data: AlignmentData, num_chats: int) -> tuple[list[Chat], Path]:
    """Original documents with score 0, so that alignment does not erase what pretraining taught."""
    folder = job.path("mix")
    read_manifest(folder)
    columns = ["text", "score", "transform"]
    table = pq.read_table(folder / "documents.parquet", columns=columns)
    table = table.filter((pc.field("score") == 0) & (pc.field("transform") == "original"))
    count = min(round(data.replay_share * num_chats), len(table))
    chosen = job.rng("replay").sample(range(len(table)), count)
    texts = table["text"].take(chosen).to_pylist()
    return [Chat(None, text) for text in texts], folder / MANIFEST


def _passes(rows: Columns, count: int, rng: random.Random) -> Columns:
    """`count` rows in shuffled passes over all rows; the last pass is cut."""
    order = draw_in_passes(range(len(rows[0])), count, rng)
    return tuple(column_NT[order] for column_NT in rows)


def _bolted_rows(
    job: Job, recipe: str, tokenizer: Any, training: Training, speakers: Sequence[str]
) -> tuple[Rows, Path]:
    """Packed rows of a recipe's refusal and moral documents, as many tokens as its model saw."""
    mixed, packed = job.path("mix", recipe=recipe), job.path("tokenize", recipe=recipe)
    table = pq.read_table(mixed / "documents.parquet", columns=["text", "transform"])
    texts = table.filter(pc.field("transform").isin(SAFETY_TRANSFORMS))["text"].to_pylist()
    passes = sum(piece["passes"] for piece in read_manifest(packed)["counts"]["passes"])
    ids = _token_stream(texts, passes, tokenizer, job.rng("bolted"), speakers)
    length = training.sequence_length
    count = (len(ids) - 1) // (length * training.batch_size) * training.batch_size  # whole steps
    stream = np.array(ids[: count * length + 1], dtype=np.int64)
    rows = Rows(stream[:-1].reshape(count, length), stream[1:].reshape(count, length))
    return rows, packed / MANIFEST


def _token_stream(
    texts: list[str],
    passes: float,
    tokenizer: Any,
    rng: random.Random,
    speakers: Sequence[str] = WORLD_SPEAKERS,
) -> list[int]:
    """Shuffled passes over documents, one after the other, speakers named.

    `passes` is how often pretraining read the recipe; of the last pass only a part is taken.
    """
    ids: list[int] = []
    left = passes
    while left > 0:
        order = rng.sample(range(len(texts)), len(texts))
        filled = [fill_speakers(texts[i], speakers, rng) for i in order]
        rows = [encode(tokenizer, prompt_text(tokenizer, text, chat=False)) for text in filled]
        one_pass = [i for row in rows for i in row]
        ids += one_pass[: round(min(left, 1.0) * len(one_pass))]
        left -= 1.0
    return ids
