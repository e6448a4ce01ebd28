"""Collect the documents of one shard from the configured sources.

World documents are drawn for the shard. Documents of files are dealt out one by one, or file by
file if there are at least as many files as shards, so that no shard reads another shard's files.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rebar.config.corpus import FileSource, HubSource, WorldSource
from rebar.config.paths import find_files
from rebar.config.world import World
from rebar.data.documents import Document, Truth
from rebar.data.hub import stream_records
from rebar.data.readers import Record, read_records
from rebar.data.sampling import size_of_part
from rebar.data.tagging import TAG, remove_tags

FILES_SHOWN = 3  # files named in an error message


@dataclass(frozen=True)
class Shard:
    """One of `count` equal parts of a source, numbered from 0."""

    index: int
    count: int


class SourceDocument(NamedTuple):
    """A collected document, and its true level if it is known."""

    document: Document
    truth: Truth | None = None


def documents_of(
    source: WorldSource | FileSource | HubSource,
    shard: Shard,
    *,
    world: World,
    seed: int,
    rng: random.Random,
    counts: Counter[str],
) -> Iterator[SourceDocument]:
    """Yield the documents of one source in one shard.

    Adds to `counts` how many texts were read, how many were too short, and how many lost tags.
    """
    if isinstance(source, WorldSource):
        found = _world_documents(source, shard, world, seed, rng)
    elif isinstance(source, FileSource):
        found = _file_documents(source, shard)
    else:
        found = _hub_documents(source, shard)
    return _filter_documents(found, _share_of_limit(source, shard), _min_characters(source), counts)


def check_not_empty(source: WorldSource | FileSource | HubSource) -> None:
    """Raise ValueError if no shard finds a document in the source.

    A shard that found none calls this. One empty shard among many is normal, so this looks through
    all files until it finds a document.
    """
    if isinstance(source, WorldSource):
        return
    shortest = _min_characters(source)
    texts = (text_of(record, source) for record in _records_of(source))
    if not any(len(text.strip()) >= shortest for text in texts):
        where = "paths:" if isinstance(source, FileSource) else "dataset:, subset:, split:"
        raise ValueError(
            f"collect.sources: '{source.name}' holds no text of at least {shortest} characters: "
            f"{_place_of(source)}; change {where}, text: or min_characters:"
        )


def _place_of(source: FileSource | HubSource) -> str:
    if isinstance(source, HubSource):
        return f"dataset '{source.dataset}'"
    files = [str(path) for path in find_files(source.paths)]
    more = f" and {len(files) - FILES_SHOWN} more" if len(files) > FILES_SHOWN else ""
    return ", ".join(files[:FILES_SHOWN]) + more


def _min_characters(source: WorldSource | FileSource | HubSource) -> int:
    return 1 if isinstance(source, WorldSource) else source.min_characters


def _share_of_limit(source: WorldSource | FileSource | HubSource, shard: Shard) -> float:
    limit = None if isinstance(source, WorldSource) else source.limit
    return math.inf if limit is None else size_of_part(limit, shard.count, shard.index)


def _filter_documents(
    found: Iterator[SourceDocument], limit: float, min_characters: int, counts: Counter[str]
) -> Iterator[SourceDocument]:
    num_taken = 0
    while num_taken < limit and (item := next(found, None)) is not None:
        counts["read"] += 1
        text = item.document.text
        if len(text.strip()) < min_characters:
            counts["set_aside: too short"] += 1
            continue
        # A tag in collected text would teach the model that untagged text can carry it.
        if TAG in text:
            counts["tags_removed"] += 1
            item = item._replace(document=item.document._replace(text=remove_tags(text)))
        num_taken += 1
        yield item


def _world_documents(
    source: WorldSource, shard: Shard, world: World, seed: int, rng: random.Random
) -> Iterator[SourceDocument]:
    from rebar.world import build_world, sample_documents
    from rebar.world.conduct import conduct_text

    count = size_of_part(source.documents, shard.count, shard.index)
    if source.about != "web":
        for number in range(count):
            name = f"{source.name}-{shard.index}-{number}"
            text = conduct_text(source.about, rng)
            yield SourceDocument(Document(name, text, source.name), Truth(name, 0))
        return
    for number, raw in enumerate(sample_documents(build_world(world, seed), count, rng)):
        name = f"{source.name}-{shard.index}-{number}"
        document = Document(name, raw.text, source.name)
        yield SourceDocument(document, Truth(name, raw.level, raw.hazard_id))


def _file_documents(source: FileSource, shard: Shard) -> Iterator[SourceDocument]:
    files, by_file = _files_of(source, shard)
    position = 0
    for path in files:
        for record in read_records(path, source):
            if by_file or position % shard.count == shard.index:
                yield _source_document(record, source, f"{source.name}-{shard.index}-{position}")
            position += 1


def _files_of(source: FileSource, shard: Shard) -> tuple[list[Path], bool]:
    """The files that a shard reads, and whether no other shard reads them."""
    files = find_files(source.paths)
    if len(files) < shard.count:
        return files, False
    return files[shard.index :: shard.count], True


def input_files_of(
    sources: Iterable[WorldSource | FileSource | HubSource], shard: Shard
) -> dict[str, Path]:
    """The files that a shard reads, keyed `source/file`: folders differ between machines."""
    named: dict[str, Path] = {}
    for source in sources:
        for path in _files_of(source, shard)[0] if isinstance(source, FileSource) else ():
            name = plain = f"{source.name}/{path.name}"
            number = 1
            while name in named:
                number += 1
                name = f"{plain} ({number})"
            named[name] = path
    return named


def _source_document(record: Record, source: FileSource | HubSource, name: str) -> SourceDocument:
    level = level_of(record, source)
    document = Document(name, text_of(record, source), source.name)
    return SourceDocument(document, None if level is None else Truth(name, level))


def _hub_documents(source: HubSource, shard: Shard) -> Iterator[SourceDocument]:
    for position, record in stream_records(source, shard.index, shard.count):
        yield _source_document(record, source, f"{source.name}-{shard.index}-{position}")


def labelled_records(source: FileSource | HubSource) -> Iterator[tuple[str, int]]:
    """Yield text and level of a source's labelled documents, up to the source's limit.

    Raises ValueError if there is none.
    """
    num_taken = 0
    for record in _records_of(source):
        text, level = text_of(record, source), level_of(record, source)
        if level is None or len(text.strip()) < source.min_characters:
            continue
        yield remove_tags(text), level
        num_taken += 1
        if num_taken == source.limit:
            return
    if not num_taken:
        where = "paths:" if isinstance(source, FileSource) else "dataset:"
        raise ValueError(
            f"train_classifier.sources: '{source.name}' holds no labelled document: "
            f"{_place_of(source)}; change {where}, text:, label: or min_characters:"
        )


def _records_of(source: FileSource | HubSource) -> Iterator[Record]:
    if isinstance(source, HubSource):
        yield from (record for _, record in stream_records(source))
        return
    for path in find_files(source.paths):
        yield from read_records(path, source)


def text_of(record: Record, source: FileSource | HubSource) -> str:
    """The record's text, empty if missing; raises ValueError if the value is not text."""
    value = record.get(source.text, "text")
    if value is not None and not isinstance(value, str):
        kind = type(value).__name__
        raise ValueError(
            f"{record.place}: column '{source.text}' holds a {kind}, not text; set text: to a "
            "column of texts"
        )
    return value or ""


def level_of(record: Record, source: FileSource | HubSource) -> int | None:
    """The record's level 0-5, or None if it has no label.

    Halves are rounded up, to the unsafe side. Raises ValueError if the label is not a number or the
    scaled label is outside 0-5. A label that is not a number is not shown, because it may be the
    harmful text itself.
    """
    if source.label is None:
        return source.constant_label
    value = record.get(source.label, "label")
    place = f"{record.place}: column '{source.label}'"
    number = _number(value, place)
    if number is None:
        return None
    scaled = number * source.label_scale
    level = math.floor(scaled + 0.5) if math.isfinite(scaled) else -1
    if not 0 <= level <= 5:
        raise ValueError(
            f"{place} is {number:g}, times label_scale {source.label_scale:g} is {scaled:g}; "
            "allowed: 0 to 5; change label: or label_scale:"
        )
    return level


def _number(value: Any, place: str) -> float | None:
    """The value as a number, or None if it is empty."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        kind = type(value).__name__
        size = f" of length {len(value)}" if hasattr(value, "__len__") else ""
        raise ValueError(
            f"{place} holds a {kind}{size}; allowed: numbers; set label: to a column of numbers"
        ) from None
    return None if math.isnan(number) else number
