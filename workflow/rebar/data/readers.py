"""Read records from local files: Parquet, JSON lines, CSV, text, YAML lists and Wikipedia dumps.

A record knows the place it came from, so that errors can name file, line and column.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rebar.config.corpus import FileSource
from rebar.data.documents import BATCH_ROWS
from rebar.data.wiki import read_articles

LONGEST_NAME = 40  # characters of a column name in a message
MAX_CSV_FIELD = 100_000_000  # characters; Python's default limit is shorter than long documents


class Record(NamedTuple):
    """Values by column, and the place they come from, such as `texts.csv, line 7`."""

    place: str
    values: dict[str, Any]

    def get(self, column: str, key: str) -> Any:
        """The value of a column; raises ValueError that names the config key to change."""
        if column not in self.values:
            columns = ", ".join(map(_format_name, self.values)) or "none"
            raise ValueError(
                f"{self.place}: no column '{column}'; columns here: {columns}; set {key}: to one "
                "of them"
            )
        return self.values[column]


def _format_name(column: Any) -> str:
    """A column's name for messages, hidden if it is long.

    In a file without a header the first row is taken for column names, and its text may be harmful.
    """
    name = str(column)
    return name if len(name) <= LONGEST_NAME else f"(one of {len(name)} characters: no header?)"


def read_records(
    path: Path, source: FileSource, more_columns: tuple[str, ...] = ()
) -> Iterator[Record]:
    """Yield the records of one file; the suffix decides how it is read.

    From a Parquet file only the columns for text and label and `more_columns` are read. Raises
    ValueError for unknown suffixes and broken content.
    """
    try:
        if path.suffix == ".parquet":
            yield from _read_parquet(path, source, more_columns)
        else:
            yield from _reader_of(path)(path, source)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 at byte {error.start}; convert the file to UTF-8"
        ) from error


def _reader_of(path: Path) -> Callable[[Path, FileSource], Iterator[Record]]:
    if path.suffix == ".bz2" and ".xml" in path.name:
        return _read_wiki
    if path.suffix not in _READERS:
        allowed = ", ".join([".parquet", *_READERS, ".xml.bz2"])
        raise ValueError(f"{path}: unknown file type '{path.suffix}'; allowed: {allowed}")
    return _READERS[path.suffix]


def _read_parquet(
    path: Path, source: FileSource, more_columns: tuple[str, ...]
) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = {source.text, source.label, *more_columns}
            columns = [name for name in file.schema_arrow.names if name in wanted]
            if source.text not in columns:
                Record(f"{path}", dict.fromkeys(file.schema_arrow.names)).get(source.text, "text")
            row = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                for values in batch.to_pylist():
                    row += 1
                    yield Record(f"{path}, row {row}", values)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a parquet file: {error}") from error


def _read_jsonl(path: Path, _: FileSource) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                yield Record(f"{path}, line {line}", _json_object(text, f"{path}, line {line}"))


def _json_object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text.strip())
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON at column {error.colno}: {error.msg}") from error
    if not isinstance(value, dict):
        raise ValueError(f'{place}: a line must be a JSON object like {{"text": "..."}}')
    return value


def _read_csv(path: Path, _: FileSource) -> Iterator[Record]:
    csv.field_size_limit(MAX_CSV_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        num_comments, header = 0, file.readline()
        while header.startswith("#"):
            num_comments, header = num_comments + 1, file.readline()
        rows = csv.DictReader(_with_header(header, file), strict=True)
        try:
            for values in rows:
                place = f"{path}, line {rows.line_num + num_comments}"
                if None in values or None in values.values():
                    wanted = len(rows.fieldnames or ())
                    raise ValueError(
                        f"{place}: a row must have {wanted} columns, as many as the header"
                    )
                yield Record(place, values)
        except csv.Error as error:
            line = rows.reader.line_num + num_comments
            raise ValueError(f"{path}, line {line}: not CSV: {error}") from error


def _with_header(header: str, rest: Iterable[str]) -> Iterator[str]:
    yield header
    yield from rest


def _read_txt(path: Path, source: FileSource) -> Iterator[Record]:
    if source.txt_unit == "file":
        yield Record(f"{path}", {"text": path.read_text(encoding="utf-8-sig")})
        return
    lines: list[str] = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                lines.append(line.rstrip("\n"))
            if lines and (source.txt_unit == "line" or not line.strip()):
                yield Record(f"{path}, line {number}", {"text": "\n".join(lines)})
                lines = []
    if lines:
        yield Record(f"{path}, last paragraph", {"text": "\n".join(lines)})


def _read_yaml(path: Path, _: FileSource) -> Iterator[Record]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        # The error message itself quotes the file, whose texts may be harmful.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(
            f"{path}{where}: not valid YAML; correct it, or put texts in quotes"
        ) from None
    for number, item in enumerate(_yaml_list(content, path), start=1):
        values = item if isinstance(item, dict) else {"text": item}
        yield Record(f"{path}, item {number}", values)


def _yaml_list(content: Any, path: Path) -> list[Any]:
    """The list in a YAML file: the whole content, or the only list under one of its keys."""
    if isinstance(content, list):
        return content
    lists = {k: v for k, v in content.items() if isinstance(v, list)} if content else {}
    if len(lists) > 1:
        lists = {k: v for k, v in lists.items() if all(isinstance(item, dict) for item in v)}
    if len(lists) != 1:
        raise ValueError(
            f"{path}: a YAML file must be a list, or have one key with a list of mappings "
            f"(like seeds:); lists here: {', '.join(lists) or 'none'}"
        )
    return next(iter(lists.values()))


def _read_wiki(path: Path, _: FileSource) -> Iterator[Record]:
    for article in read_articles(path):
        yield Record(f"{path}, article '{article.title}'", article._asdict())


_READERS: dict[str, Callable[[Path, FileSource], Iterator[Record]]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".txt": _read_txt,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".prompt": _read_yaml,
}
