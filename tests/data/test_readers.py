"""Records from local files, and the errors for faulty ones."""

from __future__ import annotations

import bz2
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rebar.config.corpus import FileSource
from rebar.data.readers import read_records


def source(**keys: Any) -> FileSource:
    return FileSource(**{"kind": "files", "name": "n", "paths": ["x"], **keys})


def texts(path: Path, **keys: Any) -> list[Any]:
    settings = source(**keys)
    return [record.get(settings.text, "text") for record in read_records(path, settings)]


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_jsonl(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '\ufeff{"text": "one", "n": 1}\n\n{"text": null}\n')
    assert texts(path) == ["one", None]
    assert [record.place for record in read_records(path, source())] == [
        f"{path}, line 1",
        f"{path}, line 3",
    ]


def test_csv_with_comment_lines(tmp_path: Path) -> None:
    content = '# dataset_version=1.0,,\n# more\ntext,label\n"two\nlines",3\nlast,\n'
    path = put(tmp_path / "a.csv", content)
    assert texts(path) == ["two\nlines", "last"]
    places = [record.place for record in read_records(path, source())]
    assert places == [f"{path}, line 5", f"{path}, line 6"]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("line", ["one", "two", "three"]),
        ("paragraph", ["one\ntwo", "three"]),
        ("file", ["one\ntwo\n\n\nthree"]),
    ],
)
def test_txt_units(tmp_path: Path, unit: str, expected: list[str]) -> None:
    path = put(tmp_path / "a.txt", "one\ntwo\n\n\nthree")
    assert texts(path, txt_unit=unit) == expected


def test_yaml_lists(tmp_path: Path) -> None:
    seeds = "name: x\ntags: [a, b]\nseeds:\n- value: one\n- value: two\n"
    assert texts(put(tmp_path / "a.prompt", seeds), text="value") == ["one", "two"]
    assert texts(put(tmp_path / "b.yaml", "[one, two]")) == ["one", "two"]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["one", "two"], "level": [1, 2], "rest": [0, 0]}), path)
    records = list(read_records(path, source(text="body", label="level")))
    assert [record.values for record in records] == [
        {"body": "one", "level": 1},
        {"body": "two", "level": 2},
    ]
    assert records[1].place == f"{path}, row 2"


BAD: dict[str, tuple[str | bytes, str]] = {
    "a.jsonl": ('{"text": "a"}\n{"text": \n', "line 2: not JSON at column 9: Expecting value"),
    "b.jsonl": ("[1]\n", "line 1: a line must be a JSON object"),
    "c.jsonl": ('{"body": "a", "n": 1}\n', "line 1: no column 'text'; columns here: body, n; set"),
    "d.csv": ("# c\ntext,n\na,1\nb\n", "line 4: a row must have 2 columns, as many as the header"),
    "e.csv": ("text,n\na,1,2\n", "line 2: a row must have 2 columns, as many as the header"),
    "f.csv": ('text\n"a"b\n', "line 2: not CSV: "),
    "g.txt": (b"fine\n\xff\n", "not UTF-8 at byte 5; convert the file to UTF-8"),
    "h.yaml": ("a: [b", "line 1, column 6: not valid YAML; correct it, or put texts in quotes"),
    "i.yaml": ("a: [{x: 1}]\nb: [{x: 2}]\n", "lists here: a, b"),
    "j.yaml": ("a: 1\n", "lists here: none"),
    "k.parquet": ("nothing", "not a parquet file: "),
    "l.pdf": ("x", "unknown file type '.pdf'; allowed: .parquet, .jsonl, .csv, .txt, .yaml"),
    "m.xml.bz2": (bz2.compress(b"<mediawiki><page>"), "not a complete Wikipedia dump"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_sentence(tmp_path: Path, name: str) -> None:
    content, sentence = BAD[name]
    path = put(tmp_path / name, content)
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        texts(path)
    assert str(error.value).startswith(str(path))


def test_a_parquet_file_without_the_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["one"]}), path)
    with pytest.raises(ValueError, match="no column 'text'; columns here: body; set text:"):
        texts(path)


@pytest.mark.parametrize(("name", "content"), [
    ("a.yaml", "- a secret text: of a file\n- [that: is broken\n"),
    ("a.csv", "a secret text that stands where the header was expected\nanother\n"),
])  # fmt: skip
def test_a_mistake_quotes_no_text(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ValueError) as error:
        texts(put(tmp_path / name, content))
    assert "secret" not in str(error.value) and str(tmp_path / name) in str(error.value)
