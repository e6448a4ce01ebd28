"""Every plug-in keeps its folder's contract."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from rebar.config import kinds
from rebar.config.plugins import PACKAGE, PLUGIN_FOLDERS, SAFEGUARDS, plugin_module, plugin_names

ROOT = Path(__file__).parents[2]
BASES = {
    "alignments": kinds.Alignment,
    "attacks": kinds.Attack,
    "evaluations": kinds.Evaluation,
    "judges": kinds.Judge,
    "probes": kinds.Probe,
    "safeguards": kinds.SafeguardPart,
}
FOLDERS = (*PLUGIN_FOLDERS, SAFEGUARDS)
PLUGINS = [(folder, name) for folder in FOLDERS for name in plugin_names(folder)]
OURS = {("evaluations", "capability"), ("judges", "world")}  # questions and grammar of the world


def source_of(folder: str, name: str) -> str:
    """The plug-in's own file; of a package, its `__init__`."""
    return Path(plugin_module(folder, name).__file__).read_text(encoding="utf-8")


def contract(folder: str, config: Any) -> tuple[str, list[str]]:
    """The function of a plug-in and its parameters beside `config`."""
    if folder == "alignments":
        return "loss", ["model", "batch", *["reference"] * config.reads_reference]
    if folder == "attacks":
        return "words" if issubclass(config, kinds.InputAttack) else "attack", ["target"]
    if folder == "evaluations":
        is_judged = "judge" in config.model_fields
        return "evaluate", ["asker", *["judge"] * is_judged]
    if folder == "judges":
        return "judge", ["prompts", "answers"]
    if folder == "probes":
        return "probe", ["model", "tokenizer", "data"]
    return "gradient", ["model", "batches", "state"]


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_a_plug_in_has_its_function_and_config(folder: str, name: str) -> None:
    module = plugin_module(folder, name)
    function, parameters = contract(folder, module.Config)
    found = list(inspect.signature(getattr(module, function)).parameters)
    assert found == ["config", *parameters]
    assert issubclass(module.Config, BASES[folder])
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


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_a_plug_in_uses_every_parameter_but_its_config(folder: str, name: str) -> None:
    function, parameters = contract(folder, plugin_module(folder, name).Config)
    tree = ast.parse(source_of(folder, name))
    (node,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    assert [p for p in parameters if p not in read] == []


def test_nothing_is_asked_by_the_name_of_an_attribute() -> None:
    asking = re.compile(r"\b(getattr|hasattr|setattr)\(\w[\w.]*, \"")
    files = [f for folder in (*FOLDERS, "stages") for f in (PACKAGE / folder).rglob("*.py")]
    assert [str(f) for f in files if asking.search(f.read_text())] == []
