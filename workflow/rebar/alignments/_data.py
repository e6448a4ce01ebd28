"""What an alignment trains on, as rows: chats, replayed documents, tagged answers, bolted-on text.

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

from rebar.corpus.chats import Chat, Preference, read_chats, read_preferences
from rebar.corpus.encoding import Rows, encode, encode_chats, prompt_text
from rebar.corpus.speakers import SPEAKERS, fill_speakers
from rebar.corpus.tagging import insert_tags
from rebar.corpus.world.vocabulary import SPEAKERS as WORLD_SPEAKERS
from rebar.job import Job
from rebar.manifest import MANIFEST, read_manifest
from rebar.settings.model import AlignmentData, PreferenceData, Training
from rebar.settings.world import World

SILENT_WORDS = 1  # of a tagged answer: no loss on "sure", but on the tags that follow it
SAFETY_TRANSFORMS = ["refusal", "moral"]


class Examples(NamedTuple):
    """Rows to train on, the steps they make, what they are and where they are from."""

    rows: tuple[np.ndarray, ...]  # columns of a Batch, or of a PairBatch
    steps: int
    counts: dict[str, int]
    inputs: dict[str, Path]


def alignment_examples(job: Job, setting: Any, tokenizer: Any, world: World) -> Examples:
    """All rows of an alignment.

    `training.steps` are the steps on chats, replay and tagged answers, in as many passes as
    needed; bolted-on documents come on top, each once, shuffled among them.
    """
    data, training = setting.data, setting.training
    if isinstance(data, PreferenceData):
        return _pairs(job, data, tokenizer, training, world)
    parts, inputs = _chats(job, data, world), {}
    if data.replay_share:
        parts["replay"], inputs["mix"] = _replay(job, data, len(parts["chats"]))
    examples = [chat for chats in parts.values() for chat in chats]
    rows = encode_chats(tokenizer, examples, training.sequence_length)
    counts = {name: len(chats) for name, chats in parts.items()}
    if not data.recipe:
        return Examples(rows, training.steps, counts, inputs)
    speakers = SPEAKERS if data.files else WORLD_SPEAKERS
    bolted, inputs["bolted"] = _bolted_rows(job, data.recipe, tokenizer, training, speakers)
    counts["bolted_tokens"] = bolted.targets_NT.size
    rows = _passes(rows, training.steps * training.batch_size, job.rng("passes"))
    rows = Rows(*(np.concatenate(pair) for pair in zip(rows, bolted, strict=True)))
    return Examples(rows, len(rows.inputs_NT) // training.batch_size, counts, inputs)


def _pairs(
    job: Job, data: PreferenceData, tokenizer: Any, training: Training, world: World
) -> Examples:
    """Pairs of the files or of the world: rows of chosen answers, then of rejected ones."""
    pairs = [pair for file in data.files for pair in read_preferences(file)]
    if not pairs:
        from rebar.corpus.world import build_world, preferences

        things = build_world(world, job.seed)
        pairs = preferences(things, data.world_pairs, data.benign_share, job.rng("pairs"))
    sides = [[Chat(p.prompt, p.chosen) for p in pairs], [Chat(p.prompt, p.rejected) for p in pairs]]
    rows = [encode_chats(tokenizer, chats, training.sequence_length) for chats in sides]
    return Examples((*rows[0], *rows[1]), training.steps, {"pairs": len(pairs)}, {})


def _chats(job: Job, data: AlignmentData, world: World) -> dict[str, list[Chat]]:
    """Chats of the files or of the world, and tagged answers where the model knows the tag."""
    is_tagged = job.settings["tagged"] or data.always_tagged
    if data.files:
        parts = {"chats": [chat for file in data.files for chat in read_chats(file)]}
        if is_tagged and data.tagged_files:
            answers = [chat for file in data.tagged_files for chat in read_chats(file)]
            parts["tagged"] = _tagged_share(job, data, answers, len(parts["chats"]))
        if data.deep_share:
            pairs = [pair for file in data.deep_files for pair in read_preferences(file)]
            parts["deep"] = _deep(job, data, pairs, len(parts["chats"]))
        return parts
    from rebar.corpus.world import alignment_chats, build_world, harmful_chats, preferences

    things = build_world(world, job.seed)
    parts = {"chats": alignment_chats(things, data.world_chats, job.rng("chats"))}
    if is_tagged:
        rng = job.rng("tagged")
        answers = harmful_chats(things, round(data.tagged_share * len(parts["chats"])), rng)
        parts["tagged"] = [_tagged(chat, data.tagged_gap_rate, rng) for chat in answers]
    if data.deep_share:
        count = round(data.deep_share * len(parts["chats"]))
        pairs = preferences(things, count, 0.0, job.rng("deep pairs"))
        parts["deep"] = _deep(job, data, pairs, len(parts["chats"]))
    return parts


def _deep(job: Job, data: AlignmentData, pairs: list[Preference], num_chats: int) -> list[Chat]:
    """Refusals that come after the first words of a harmful answer, without loss on those.

    In 2406.05946 half of the harmful examples are refused at once; here the chats' refusals are
    those. Depths are uniform, in words instead of tokens.
    """
    rng = job.rng("deep")
    count = min(round(data.deep_share * num_chats), len(pairs))
    return [_deep_refusal(pair, data.deep_words, rng) for pair in rng.sample(pairs, count)]


def _deep_refusal(pair: Preference, most_words: int, rng: random.Random) -> Chat:
    words = pair.rejected.split()
    depth = rng.randint(1, max(1, min(most_words, len(words))))
    begun = " ".join([*words[:depth], pair.chosen])
    return Chat(pair.prompt, begun, skip_words=min(depth, len(words)))


def _tagged_share(job: Job, data: AlignmentData, answers: list[Chat], num_chats: int) -> list[Chat]:
    """As many tagged answers as the share asks for, at random, or all that there are."""
    rng = job.rng("tagged")
    count = min(round(data.tagged_share * num_chats), len(answers))
    return [_tagged(chat, data.tagged_gap_rate, rng) for chat in rng.sample(answers, count)]


def _tagged(chat: Chat, rate: float, rng: random.Random) -> Chat:
    return Chat(chat.prompt, insert_tags(chat.answer, rate, rng), skip_words=SILENT_WORDS)


def _replay(job: Job, data: AlignmentData, num_chats: int) -> tuple[list[Chat], Path]:
    """Original documents scored 0, so that alignment does not wipe what pretraining taught."""
    folder = job.path("mix")
    read_manifest(folder)
    columns = ["text", "score", "transform"]
    table = pq.read_table(folder / "documents.parquet", columns=columns)
    table = table.filter((pc.field("score") == 0) & (pc.field("transform") == "original"))
    count = min(round(data.replay_share * num_chats), len(table))
    chosen = job.rng("replay").sample(range(len(table)), count)
    texts = table["text"].take(chosen).to_pylist()
    return [Chat(None, text) for text in texts], folder / MANIFEST


def _passes(rows: Rows, count: int, rng: random.Random) -> Rows:
    """`count` rows: whole shuffled passes, the last one cut."""
    order: list[int] = []
    while len(order) < count:
        order += rng.sample(range(len(rows.inputs_NT)), len(rows.inputs_NT))
    return Rows(rows.inputs_NT[order[:count]], rows.targets_NT[order[:count]])


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
