"""Stream datasets from the Hugging Face Hub in shards; local dataset folders work alike.

If a dataset has at least as many files as there are shards, each shard reads its own files, so
that no file is downloaded twice. Otherwise the rows are dealt out one by one. With HF_HUB_OFFLINE
set, the copy in the Hub's cache is read (`hf download ID --repo-type dataset --revision COMMIT`
puts it there).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rebar.config.base import HubDataset
from rebar.data.readers import Record


def stream_records(
    source: HubDataset, shard: int = 0, shards: int = 1
) -> Iterator[tuple[int, Record]]:
    """Yield position in the stream and record of each row that belongs to one shard.

    Raises ValueError that names the dataset, and the subset, split or file that does not exist.
    """
    stream = _open(source)
    if stream.num_shards >= shards:
        stream, step = stream.shard(shards, shard, contiguous=False), 1
    else:
        step = shards
    for position, row in enumerate(_rows(stream, source)):
        if step == 1 or position % step == shard:
            yield position, Record(f"dataset '{source.dataset}', row {position}", dict(row))


def _open(source: HubDataset) -> Any:
    """Open the dataset as a stream (datasets.IterableDataset)."""
    import datasets

    if (Path(source.dataset) / "state.json").exists():  # a folder written by Dataset.save_to_disk
        return datasets.Dataset.load_from_disk(source.dataset).to_iterable_dataset()
    options: dict[str, Any] = {**source.options}
    try:
        place, revision = _place(source)
        return datasets.load_dataset(
            place,
            source.subset,
            split=source.split,
            revision=revision,
            streaming=True,
            **options,
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
            f"dataset '{source.dataset}' cannot be opened{offline}: {error}; set dataset: to an id "
            "on the Hub or to a local folder of data files"
        ) from error


def _place(source: HubDataset) -> tuple[str, str | None]:
    """The id or folder for `datasets.load_dataset`, and the commit if it is an id.

    Offline it is the dataset's folder in the Hub's cache.
    """
    from huggingface_hub import is_offline_mode, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if Path(source.dataset).exists() or not is_offline_mode():
        return source.dataset, source.revision
    try:
        place = snapshot_download(
            source.dataset, repo_type="dataset", revision=source.revision, local_files_only=True
        )
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise OSError("neither a folder nor in the Hub's cache") from error
    return place, None


def _wrong_key(message: str, source: HubDataset) -> tuple[str, str | None]:
    """The config key, and its value, that an error message of `datasets` is about."""
    if message.startswith("Bad split"):
        return "split", source.split
    if "BuilderConfig" in message:
        return "subset", source.subset
    return "dataset", source.dataset


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _rows(stream: Any, source: HubDataset) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the stream; raise ValueError if a data file is broken."""
    from datasets.exceptions import DatasetsError

    try:
        yield from stream
    except (ValueError, OSError, DatasetsError) as error:  # Arrow's errors are ValueErrors
        raise ValueError(
            f"dataset '{source.dataset}', split '{source.split}': a data file cannot be read: "
            f"{_first_line(error)}; repair the file, or change dataset:"
        ) from error
