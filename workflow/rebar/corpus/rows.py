"""Rows of prompt sets and chats: of a file, or of a dataset of the Hub."""

from __future__ import annotations

from collections.abc import Iterator

from rebar.corpus.hub import stream_records
from rebar.corpus.readers import Record, read_records
from rebar.corpus_settings import FileSource
from rebar.files import find_files
from rebar.model_settings import RowFile


def place_of(file: RowFile) -> str:
    """Where the rows are, in words."""
    return file.path or f"dataset '{file.hub.dataset if file.hub else ''}'"


def rows_of(file: RowFile, columns: tuple[str, str | None]) -> Iterator[Record]:
    """Rows that `where` takes; `columns` and its own are the ones that are read of parquet files.

    ValueError names file, line and column.
    """
    for record in _all_rows(file, columns):
        if all(record.get(column, "where") == value for column, value in file.where.items()):
            yield record


def _all_rows(file: RowFile, columns: tuple[str, str | None]) -> Iterator[Record]:
    if file.hub is not None:
        yield from (record for _, record in stream_records(file.hub))
        return
    text, label = columns
    source = FileSource(kind="files", name="rows", paths=[file.path or ""], text=text, label=label)
    for path in find_files(source.paths):
        yield from read_records(path, source, (*file.where,))
