"""Hashes of the code that a job runs: syntax trees, without comments and docstrings.

A module counts with everything of this package that it imports, so that an edit makes exactly those
jobs run again that it could change.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from rebar.config.plugins import PLUGIN_FOLDERS, SAFEGUARDS
from rebar.grid import STAGES

PACKAGE = Path(__file__).parents[1]
# Folders whose effect stands in the spec itself (values, paths) or on the screen.
NOT_HASHED = ("rebar.config", "rebar.grid", "rebar.jobs")
HASHED_ALL_THE_SAME = ("rebar.grid.sizes",)  # FLOPs a token, which stand in results
# Parts of their own: where an attack is watched, where a safeguard acts.
HASHED_APART = ("rebar.evaluations._cost_to_break", "rebar.safeguards._preparation")


def code_hashes(stage: str, settings: dict[str, Any]) -> dict[str, str]:
    """Hash of the stage's code, and of each plug-in that its settings name and that it runs."""
    hashes = {"stage": code_hash(STAGES[stage].module)}
    if STAGES[stage].runs_plugins:
        hashes |= _plugin_hashes(settings)
    if "acts_in" in settings and SAFEGUARDS in settings:
        hashes["safeguarded"] = code_hash("rebar.safeguards._preparation")
        parts = [part for setting in settings[SAFEGUARDS].values() for part in setting["parts"]]
        methods = sorted({part["method"] for part in parts})
        hashes |= {f"{SAFEGUARDS}.{m}": code_hash(f"rebar.{SAFEGUARDS}.{m}") for m in methods}
    return hashes


def _plugin_hashes(settings: dict[str, Any]) -> dict[str, str]:
    hashes = {}
    if "cost_to_break" in settings:
        hashes["watch"] = code_hash("rebar.evaluations._cost_to_break")
    for folder in PLUGIN_FOLDERS:
        for name, setting in settings.get(folder, {}).items():
            hashes[f"{folder}.{name}"] = code_hash(f"rebar.{folder}.{setting['method']}")
    return hashes


@cache
def code_hash(module: str) -> str:
    """SHA-256 over the module and everything of this package that it imports."""
    parts = [f"{name}:{_file_hash(name)}" for name in sorted(_closure(module))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    path = PACKAGE.parent / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


@cache
def _tree(module: str) -> ast.Module:
    file = _file_of(module)
    assert file is not None, module
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            node.body = body[1:]  # type: ignore[attr-defined]
    return tree


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _file_hash(module: str) -> str:
    file = _file_of(module)
    assert file is not None, module
    templates = "".join(
        t.read_text(encoding="utf-8") for t in file.parent.glob(f"{file.stem}.*.j2")
    )
    return hashlib.sha256((ast.dump(_tree(module)) + templates).encode()).hexdigest()


def _imports(module: str) -> set[str]:
    """Modules of this package that a module imports, at the top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name for name in found if name.startswith("rebar.") and _file_of(name)}
    in_the_spec = tuple(f"{folder}." for folder in NOT_HASHED)
    hashed = {m for m in ours if not f"{m}.".startswith(in_the_spec)} - set(HASHED_APART)
    return hashed | (ours & set(HASHED_ALL_THE_SAME))


def _closure(module: str) -> set[str]:
    done: set[str] = set()
    todo = {module}
    while todo:
        name = todo.pop()
        done.add(name)
        todo |= _imports(name) - done
    return done
