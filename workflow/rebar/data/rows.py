"""Read rows of prompt sets and chats, from files or from a dataset of the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rebar.config.corpus import FileSource
from rebar.config.paths import find_files
from rebar.config.rows import RowFile
from rebar.data.hub import stream_records
from rebar.data.readers import Record, read_records


def place_of(file: RowFile) -> str:
    """Where the rows come from, for messages: a path, or the name of a dataset."""
    return file.path or f"dataset '{file.hub.dataset if file.hub else ''}'"


def rows_of(
    file: RowFile, columns: tuple[str, str | None], more: tuple[str, ...] = ()
) -> Iterator[Record]:
    """Yield the rows that the settings `where` and `rows` select.

    From a Parquet file only `columns`, `more` and the columns of `where` are read. Raises
    ValueError that names file, line and column.
    """
    taken = (record for record in _all_rows(file, columns, more) if _is_selected(record, file))
    first, end = file.rows or (0, None)
    return islice(taken, first, end)


def _is_selected(record: Record, file: RowFile) -> bool:
    return all(record.get(column, "where") == value for column, value in file.where.items())


def _all_rows(
    file: RowFile, columns: tuple[str, str | None], more: tuple[str, ...]
) -> Iterator[Record]:
    if file.hub is not None:
        yield from (record for _, record in stream_records(file.hub))
        return
    text, label = columns
    source = FileSource(kind="files", name="rows", paths=[file.path or ""], text=text, label=label)
    for path in find_files(source.paths):
        yield from read_records(path, source, (*file.where, *more))
