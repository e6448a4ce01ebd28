"""Datasets of the Hugging Face Hub, streamed in shards; local dataset folders work alike.

A dataset with at least as many files as shards is dealt out by file, so that no shard downloads
what another one reads; a smaller one is dealt out document by document.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rebar.corpus_settings import HubSource


def stream_texts(source: HubSource, shard: int, shards: int) -> Iterator[tuple[int, str]]:
    """Position in the stream and text of the documents of one shard.

    ValueError names the dataset and the subset, split, file or column that is not there.
    """
    stream = _open(source)
    if stream.num_shards >= shards:
        stream, step = stream.shard(shards, shard, contiguous=False), 1
    else:
        step = shards
    for position, row in enumerate(_rows(stream, source)):
        if step == 1 or position % step == shard:
            yield position, _text(row, source)


def _open(source: HubSource) -> Any:
    """The dataset as a stream (datasets.IterableDataset)."""
    import datasets

    if (Path(source.dataset) / "state.json").exists():  # written by Dataset.save_to_disk
        return datasets.Dataset.load_from_disk(source.dataset).to_iterable_dataset()
    try:
        return datasets.load_dataset(
            source.dataset,
            source.subset,
            split=source.split,
            revision=source.revision,
            streaming=True,
        )
    except ValueError as error:
        key, value = _wrong_key(str(error), source)
        raise ValueError(
            f"dataset '{source.dataset}': {key} '{value}' cannot be opened: {_first_line(error)}; "
            f"change {key}:"
        ) from error
    except OSError as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise ValueError(
            f"dataset '{source.dataset}' cannot be opened{offline}: {error}; give an id on the "
            "Hub, or a local folder of data files"
        ) from error


def _wrong_key(message: str, source: HubSource) -> tuple[str, str | None]:
    """Which key of the config a refusal of `datasets` is about."""
    if message.startswith("Bad split"):
        return "split", source.split
    if "BuilderConfig" in message:
        return "subset", source.subset
    return "dataset", source.dataset


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _rows(stream: Any, source: HubSource) -> Iterator[Mapping[str, Any]]:
    """Rows of the stream; ValueError if a file of the dataset is broken."""
    from datasets.exceptions import DatasetsError

    try:
        yield from stream
    except (ValueError, OSError, DatasetsError) as error:  # Arrow's errors are ValueErrors
        raise ValueError(
            f"dataset '{source.dataset}', split '{source.split}': a data file cannot be read: "
            f"{_first_line(error)}; mend the file, or change dataset:"
        ) from error


def _text(row: Mapping[str, Any], source: HubSource) -> str:
    if source.text not in row:
        columns = ", ".join(row)
        raise ValueError(
            f"dataset '{source.dataset}': no column '{source.text}'; columns here: {columns}; "
            "set text:"
        )
    text = row[source.text]
    if text is not None and not isinstance(text, str):
        raise ValueError(
            f"dataset '{source.dataset}': column '{source.text}' holds a {type(text).__name__}, "
            "not text; set text: to a column of texts"
        )
    return text or ""
