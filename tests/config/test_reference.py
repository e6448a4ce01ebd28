"""The generated documentation of the keys does not drift."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from rebar.config.file import Config
from rebar.config.plugins import plugin_names
from rebar.config.reference import PAGES, PLUGINS, reference_texts, schema_text, write_schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", reference_texts(), ids=str)
def test_generated_files_are_up_to_date(file: Path) -> None:
    text = reference_texts()[file]
    assert (ROOT / file).read_text() == text, "run `make schema` and commit the result"


def test_no_page_of_a_former_section_is_left() -> None:
    pages = {page.relative_to(ROOT) for page in (ROOT / PAGES).iterdir()}
    assert pages == {file for file in reference_texts() if file.parent == PAGES}


def test_writing_removes_pages_of_former_sections(tmp_path: Path) -> None:
    former = tmp_path / PAGES / "former.md"
    former.parent.mkdir(parents=True)
    former.write_text("of a key that is gone")
    written = write_schema(tmp_path)
    assert not former.exists()
    assert set(written) == {tmp_path / file for file in reference_texts()}


def test_the_schema_takes_the_shipped_configs_and_no_typo() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    for file in (ROOT / "config").glob("*.yaml"):
        config = yaml.safe_load(file.read_text())
        assert [error.message for error in validator.iter_errors(config)] == []
        config["pretrain"] = config.get("pretrain", {}) | {"stepz": 1}
        assert list(validator.iter_errors(config))


def test_every_key_has_a_meaning() -> None:
    pages = [text for file, text in reference_texts().items() if file.suffix == ".md"]
    rows = [line for text in pages for line in text.splitlines() if line.startswith("| `")]
    without = [row for row in rows if row.endswith("|  |")]
    assert len(rows) > 100
    assert [row for row in without if not row.split("`")[1].endswith(("kind", "method"))] == []


def test_every_top_level_key_and_every_plug_in_is_explained() -> None:
    texts = reference_texts()
    index = texts[PAGES / "index.md"]
    for key in Config.model_fields:
        assert f"`{key}`" in index
    for folder in PLUGINS:
        for method in plugin_names(folder):
            assert f"\n## {method}\n" in texts[PAGES / f"{folder}.md"]
