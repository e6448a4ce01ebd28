"""The generated documentation of the keys does not drift."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from rebar.config.reference import SCHEMA, TABLE, schema_text, table_text

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("file", "text"), [(SCHEMA, schema_text), (TABLE, table_text)])
def test_generated_files_are_up_to_date(file: Path, text) -> None:
    assert (ROOT / file).read_text() == text(), "run `make schema` and commit the result"


def test_the_schema_takes_the_shipped_configs_and_no_typo() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    for file in (ROOT / "config").glob("*.yaml"):
        config = yaml.safe_load(file.read_text())
        assert [error.message for error in validator.iter_errors(config)] == []
        config["pretrain"] = config.get("pretrain", {}) | {"stepz": 1}
        assert list(validator.iter_errors(config))


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in table_text().splitlines() if line.startswith("| `")]
    without = [row for row in rows if row.endswith("|  |")]
    assert len(rows) > 100
    assert [row for row in without if not row.split("`")[1].endswith(("kind", "method"))] == []
