"""The documentation as a site: it builds, loads nothing from the network, its drawings are true."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from rebar.config.plugins import plugin_module, plugin_names
from rebar.config.reference import PLUGINS, sections
from rebar.grid import STAGES
from tests.docs.diagrams import PICTURES, diagrams, layers
from tests.docs.pages import ROOT, read


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    done = subprocess.run(
        [*command, "--site-dir", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"""(?:<link[^>]*href|src)=["']?(?:https?:)?//[^"'> ]*""", text) == []
        assert 'class="mermaid"' not in text  # its script would come from a CDN


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r": ([\w/-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted(pages)
    assert {f"configuration/{section}.md" for section in sections()} <= set(named)


@pytest.mark.parametrize("name", diagrams())
def test_drawings_are_up_to_date(name: str) -> None:
    remedy = "run `python -m tests.docs.diagrams` and commit the result"
    assert (PICTURES / name).read_text(encoding="utf-8") == diagrams()[name], remedy


def test_the_drawings_show_every_stage_and_every_room() -> None:
    drawn = diagrams()
    assert set(re.findall(r'"middle">(\w+)<', drawn["pipeline.svg"])) == set(STAGES)
    for rooms in layers():
        assert " | ".join(rooms) in drawn["architecture.svg"]


def test_the_architecture_page_has_every_stage_with_what_it_writes() -> None:
    """In the order of the stage table; a stage of the whole grid writes files."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", read("docs/architecture.md"), re.MULTILINE)
    assert [name for name, _ in rows] == list(STAGES)
    for name, written in rows:
        stage = STAGES[name]
        shown = re.findall(r"`(.*?)/?`", written)
        places = [stage.folder] if stage.folder else list(stage.files)
        assert all(any(fnmatch(place, one) for one in shown) for place in places), name


def test_the_pipeline_of_the_readme_shows_every_stage() -> None:
    (block,) = re.findall(r"```mermaid\n(.*?)```", read("README.md"), re.DOTALL)
    words = set(re.findall(r"\b[a-z_]{3,}\b", re.sub(r'"[^"]*"', "", block)))
    assert words - {"flowchart", "subgraph", "direction", "end"} == set(STAGES)


def test_the_theme_asks_no_font_server() -> None:
    settings = yaml.safe_load(read("mkdocs.yml"))
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True


def test_every_word_of_the_glossary_is_explained_once() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", read("docs/glossary.md"), re.MULTILINE)
    assert len(words) == len(set(words))
    assert words == sorted(words, key=str.lower)
    assert {"recipe", "arm", "cell", "safeguard", "probe", "judge", "twin"} <= set(words)


@pytest.mark.parametrize("folder", PLUGINS)
def test_the_contract_of_each_kind_of_plug_in_is_that_of_the_code(folder: str) -> None:
    """A plug-in's function takes what the page says, or the first of it."""
    row = rf"^\| `{folder}/` \| .*? \| `(\w+)\((.*?)\)` \|"
    contracts = re.findall(row, read("docs/architecture.md"), re.MULTILINE)
    for method in plugin_names(folder):
        functions = vars(plugin_module(folder, method))
        ((name, arguments),) = [each for each in contracts if each[0] in functions]
        taken = list(inspect.signature(functions[name]).parameters)
        assert taken == arguments.split(", ")[: len(taken)], method
