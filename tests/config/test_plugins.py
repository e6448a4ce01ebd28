"""Every plug-in keeps its folder's contract."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from rebar.config.base import Settings
from rebar.config.plugins import PLUGIN_FOLDERS, SAFEGUARDS, plugin_module, plugin_names

ROOT = Path(__file__).parents[2]
FUNCTIONS = {
    "alignments": ("loss", ["config", "model", "batch", "reference"]),
    "attacks": ("attack", ["config", "model", "tokenizer", "data", "recorder"]),
    "evaluations": (
        "evaluate",
        ["config", "model", "tokenizer", "decoder", "judge", "recorder"],
    ),
    "judges": ("judge", ["config", "prompts", "answers"]),
    "probes": ("probe", ["config", "model", "tokenizer", "data"]),
    "safeguards": ("gradient", ["config", "model", "batches", "state"]),
}
FOLDERS = (*PLUGIN_FOLDERS, SAFEGUARDS)
PLUGINS = [(folder, name) for folder in FOLDERS for name in plugin_names(folder)]
OURS = {("evaluations", "capability"), ("judges", "world")}  # questions and grammar of the world


def source_of(folder: str, name: str) -> str:
    """The plug-in's own file; of a package, its `__init__`."""
    return Path(plugin_module(folder, name).__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_a_plug_in_has_its_function_and_config(folder: str, name: str) -> None:
    module = plugin_module(folder, name)
    function, parameters = FUNCTIONS[folder]
    assert list(inspect.signature(getattr(module, function)).parameters) == parameters
    assert issubclass(module.Config, Settings)
    assert module.Config.model_fields["method"].annotation.__args__ == (name,)
    assert len(module.__doc__) > 60


@pytest.mark.parametrize(("folder", "name"), [p for p in PLUGINS if p not in OURS])
def test_a_plug_in_names_its_paper(folder: str, name: str) -> None:
    assert re.search(r"\b\d{4}\.\d{5}\b", plugin_module(folder, name).__doc__)


@pytest.mark.parametrize(("folder", "name"), [p for p in PLUGINS if p[0] != "judges"])
def test_a_plug_in_imports_torch_inside_functions_only(folder: str, name: str) -> None:
    tree = ast.parse(source_of(folder, name))
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "torch" not in ast.dump(node)
            assert not re.search(r"'rebar\.(model|training|decoding)\.", ast.dump(node))


@pytest.mark.parametrize("name", plugin_names(SAFEGUARDS))
def test_a_safeguard_says_where_it_acts_and_what_a_step_costs(name: str) -> None:
    module = plugin_module(SAFEGUARDS, name)
    assert module.Config.places
    assert set(module.Config.places) <= {"pretraining", "alignment", "own_stage"}
    assert isinstance(module.Config.passes, property)


def test_plug_ins_of_a_folder_do_not_import_each_other() -> None:
    for folder, name in PLUGINS:
        text = source_of(folder, name)
        others = [other for other in plugin_names(folder) if other != name]
        assert not [o for o in others if f"rebar.{folder}.{o}" in text]
