"""Tokenizes one recipe's corpus in training order, with the tokenizer that all recipes share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rebar.config.corpus import Tokenize
from rebar.corpus.packing import Row, encode_corpus, id_type, pack, summarize_packing
from rebar.data.documents import DOCUMENTS, TRUTH, count_documents, read_levels, read_rows
from rebar.data.sampling import is_evenly_spread
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder

TOKENS, TOKENIZER = "tokens.npy", "tokenizer"


def run(job: Job) -> None:
    """Write tokens.npy (exactly tokens + 1 ids) and tokenizer/."""
    settings = job.section("tokenize", Tokenize)
    mixed = job.path("mix")
    shards = range(read_manifest(mixed)["spec"]["settings"]["shards"])
    collected = [job.path("collect", shard=shard) for shard in shards]
    tokenizer, speakers = _tokenizer(settings, collected)
    num_tokens = job.settings["tokens"] + 1  # the last target follows the last input
    with output_folder(job.folder) as folder:
        tokenizer.save_pretrained(folder / TOKENIZER)
        scratch = folder / "encoded.bin"
        rows = _rows(mixed / DOCUMENTS)
        encoded = encode_corpus(rows, tokenizer, speakers, job.rng("speakers"), scratch)
        tokens_N = np.lib.format.open_memmap(
            folder / TOKENS, mode="w+", dtype=id_type(tokenizer), shape=(num_tokens,)
        )
        shuffle = np.random.default_rng(job.rng("order").getrandbits(64))
        readings = pack(encoded, np.asarray(tokens_N), shuffle)
        tokens_N.flush()
        scratch.unlink()
        counts = summarize_packing(encoded, readings, num_tokens, _levels(collected))
        Recorder(folder, job.label).say(
            f"{num_tokens} tokens, {counts['unique_tokens']} unique, {counts['epochs']} epochs"
        )
        write_manifest(folder, spec=job.spec, inputs=_inputs(mixed, collected), counts=counts)


def _inputs(mixed: Path, collected: Sequence[Path]) -> dict[str, Path]:
    inputs = {f"collected/{shard}": folder / MANIFEST for shard, folder in enumerate(collected)}
    return {"mixed": mixed / MANIFEST, **inputs}


def _tokenizer(settings: Tokenize, collected: Sequence[Path]) -> tuple[Any, Sequence[str]]:
    """The tokenizer, and the names that may stand for speakers."""
    if settings.tokenizer == "world":
        from rebar.world.tokenizer import build_tokenizer
        from rebar.world.vocabulary import SPEAKERS as WORLD_SPEAKERS

        return build_tokenizer(), WORLD_SPEAKERS
    from rebar.corpus.tokenizers import load_existing_tokenizer, train_tokenizer
    from rebar.data.speakers import SPEAKERS

    if settings.tokenizer == "train":
        texts = _sample(collected, settings.sample_documents)
        return train_tokenizer(texts, settings.vocabulary_size), SPEAKERS
    return load_existing_tokenizer(settings.tokenizer, settings.revision), SPEAKERS


def _sample(collected: Sequence[Path], count: int) -> Iterator[str]:
    """Texts of at most `count` collected documents, evenly spread over all shards."""
    paths = [folder / DOCUMENTS for folder in collected]
    total = sum(count_documents(path) for path in paths)
    index = 0
    for path in paths:
        for batch in read_rows(path, ["text"]):
            for (text,) in batch:
                if is_evenly_spread(index, total, count):
                    yield text
                index += 1


def _rows(path: Path) -> Iterator[list[Row]]:
    for batch in read_rows(path, list(Row._fields)):
        yield [Row(*values) for values in batch]


def _levels(collected: Sequence[Path]) -> dict[str, int]:
    levels: dict[str, int] = {}
    for folder in collected:
        levels |= read_levels(folder / TRUTH)
    return levels
