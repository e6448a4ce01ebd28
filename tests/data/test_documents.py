"""The documents table: schema, batches, nulls, bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rebar.data import documents
from rebar.data.documents import (
    SCHEMA,
    TRUTH_SCHEMA,
    Document,
    TableWriter,
    Truth,
    count_documents,
    read_documents,
    read_levels,
    read_rows,
)

SOME = [
    Document("a-0", "text, ü", "a"),
    Document("a-1", "", "a", 5, "p=0.9", "a-0", "refusal", "plain", "world", "echo"),
    Document("a-2", "x", "a", 0),
]


def write(path: Path, rows: list[Document]) -> Path:
    with TableWriter(path) as writer:
        writer.add(rows)
    return path


def test_documents_come_back(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", SOME)
    assert [d for batch in read_documents(path) for d in batch] == SOME
    assert count_documents(path) == 3


def test_the_schema_is_the_contract(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", SOME)
    schema = pq.read_schema(path)
    assert schema.equals(SCHEMA)
    names = "id text source score score_reason parent_id transform style generator reject_reason"
    assert schema.names == names.split()
    assert schema.field("score").type == pa.int8()
    assert pq.read_table(path)["score"].to_pylist() == [None, 5, 0]


def test_batches_hold_at_most_so_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BATCH_ROWS", 2)
    path = write(tmp_path / "d.parquet", SOME)
    assert pq.ParquetFile(path).metadata.num_row_groups == 2
    assert [len(batch) for batch in read_documents(path, 2)] == [2, 1]
    assert list(read_rows(path, ["score", "id"], 3)) == [[(None, "a-0"), (5, "a-1"), (0, "a-2")]]


def test_a_table_without_rows_is_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [])
    assert count_documents(path) == 0
    assert list(read_documents(path)) == []


def test_levels_by_id(tmp_path: Path) -> None:
    path = tmp_path / "truth.parquet"
    with TableWriter(path, TRUTH_SCHEMA) as writer:
        writer.add([Truth("a", 0), Truth("b", 5, "known-1")])
    assert read_levels(path) == {"a": 0, "b": 5}


def test_equal_rows_are_equal_bytes_and_no_pandas_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rebar.data.documents import *\n"
        "with TableWriter(Path(sys.argv[1])) as w: w.add([Document('a', 'b', 'c', 3)])\n"
        "print(list(read_documents(Path(sys.argv[1]))), 'pandas' in sys.modules)"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": "workflow"},
        ).stdout
        for name in ("1", "2")
    ]
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert printed[0].endswith("False\n")
