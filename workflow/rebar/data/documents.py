"""The documents table: one schema for all stages from collecting to tokenizing.

Tables are Parquet files, read and written in batches so that memory stays small. What is known to
be true about a document (its harm level, its hazard) is stored in a separate table, so that no
stage can use the truth by accident.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.lib import StringBuilder

DOCUMENTS = "documents.parquet"
TRUTH = "truth.parquet"
ORIGINAL = "original"
HAZARD_LEVEL = 4  # documents of this level and above are never trained on unchanged (SafeLM)
BATCH_ROWS = 8192  # rows held in memory at a time


class Document(NamedTuple):
    """One row of a documents table: a text, where it comes from, and what was done to it.

    `score` is the classifier's safety score, 0 (harmless) to 5 (harmful). A rewrite names its
    original in `parent_id` and its `transform`; `reject_reason` is None for usable documents.
    """

    id: str
    text: str
    source: str
    score: int | None = None
    score_reason: str | None = None
    parent_id: str | None = None
    transform: str = ORIGINAL
    style: str | None = None
    generator: str | None = None
    reject_reason: str | None = None


class Truth(NamedTuple):
    """The true harm level of a document, 0-5, and the id of the hazard it is about, if any."""

    id: str
    level: int
    hazard_id: str | None = None


SCHEMA = pa.schema(
    [(name, pa.int8() if name == "score" else pa.string()) for name in Document._fields]
)
TRUTH_SCHEMA = pa.schema([("id", pa.string()), ("level", pa.int8()), ("hazard_id", pa.string())])


class TableWriter:
    """Writes rows to a Parquet file and holds at most one batch of them in memory.

    Use it as a context manager; after an exception the rows of the last batch are not written.
    """

    def __init__(self, path: Path, schema: pa.Schema = SCHEMA) -> None:
        """Create the file at `path` at once, so that a table without rows exists too."""
        self.schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._rows: list[tuple] = []

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, rows: Iterable[tuple]) -> None:
        """Append rows in the order of the schema's columns."""
        for row in rows:
            self._rows.append(row)
            if len(self._rows) >= BATCH_ROWS:
                self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [_array(list(c), f.type) for c, f in zip(columns, self.schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        self._rows = []


def _array(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Build the same array as `pa.array(values, type_)`, without importing pandas.

    `pa.array` imports pandas, which takes half of a stage's start-up time.
    """
    if type_ == pa.string():
        builder = StringBuilder()
        builder.append_values(values)
        return builder.finish()
    numbers = np.array([0 if v is None else v for v in values], dtype=np.dtype(str(type_)))
    validity = np.packbits([v is not None for v in values], bitorder="little")
    return pa.Array.from_buffers(
        type_, len(values), [pa.py_buffer(validity), pa.py_buffer(numbers)]
    )


def read_rows(
    path: Path, columns: list[str], batch_rows: int = BATCH_ROWS
) -> Iterator[list[tuple]]:
    """Yield batches of rows with the values of `columns`, in the order of the file."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_rows, columns=columns):
            values = [batch.column(name).to_pylist() for name in columns]
            yield list(zip(*values, strict=True))


def read_documents(path: Path, batch_rows: int = BATCH_ROWS) -> Iterator[list[Document]]:
    """Yield batches of documents, in the order of the file."""
    for rows in read_rows(path, list(Document._fields), batch_rows):
        yield [Document(*row) for row in rows]


def count_documents(path: Path) -> int:
    """Number of rows of a table, read from the file's footer without reading the rows."""
    return pq.read_metadata(path).num_rows


def read_levels(path: Path) -> dict[str, int]:
    """True harm level (0-5) of every document, by document id."""
    return {row[0]: row[1] for rows in read_rows(path, ["id", "level"]) for row in rows}
