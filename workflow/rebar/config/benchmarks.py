"""Benchmarks by name: an evaluation's `prompts: [advbench]` is an entry of `config/benchmarks/`.

A new benchmark is a new entry there, or the same keys in the config itself. What a name stands for
is part of the evaluation's settings, so that an edit of an entry makes those evaluations run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict

from rebar.config.rows import HarnessTask, PromptFile

PROMPT_SETS = Path("config/benchmarks/prompts.yaml")
TASKS = Path("config/benchmarks/tasks.yaml")
NAME = "benchmark"  # the key of an entry's name where other keys change it


def library(file: Path) -> dict[str, dict[str, Any]]:
    """Read the entries of a file by name; ValueError if it is missing or no mapping of mappings."""
    return _library(file.resolve())


@cache
def _library(file: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file; benchmarks with a name stand there") from error
    if not isinstance(entries, Mapping) or not all(map(_is_mapping, entries.values())):
        raise ValueError(f"{file}: must be a mapping of names to the keys of a benchmark")
    return {name: dict(entry) for name, entry in entries.items()}


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def prompt_set(value: Any) -> Any:
    """The prompt set that a name, or a name with changes, stands for; its split is the name."""
    if not isinstance(value, str) and not (_is_mapping(value) and NAME in value):
        return value
    changes = {} if isinstance(value, str) else {k: v for k, v in value.items() if k != NAME}
    name = value if isinstance(value, str) else value[NAME]
    return {"split": name, **_changed(_entry(name, PROMPT_SETS), changes)}


def task(value: Any) -> Any:
    """A task of lm-evaluation-harness: an entry of the library, or the harness's own name."""
    if not isinstance(value, str):
        return value
    return library(TASKS).get(value, {"task": value}) if TASKS.exists() else {"task": value}


def _entry(name: Any, file: Path) -> dict[str, Any]:
    entries = library(file)
    if name not in entries:
        known = ", ".join(entries)
        raise ValueError(
            f"benchmark '{name}' is not in {file}; known: {known}; add it there, or give path: or "
            "hub: here"
        )
    return entries[name]


def _changed(entry: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with changed values; inside a mapping (`hub:`) other keys keep their values."""
    merged = dict(entry)
    for key, value in changes.items():
        inner = entry.get(key)
        both = _is_mapping(inner) and _is_mapping(value)
        merged[key] = {**inner, **value} if both else value  # type: ignore[dict-item]
    return merged


class Changed(BaseModel):
    """An entry by its name, with other values for some of its keys."""

    model_config = ConfigDict(extra="allow")
    benchmark: str


PromptSet = Annotated[
    PromptFile, BeforeValidator(prompt_set, json_schema_input_type=str | Changed | PromptFile)
]
Task = Annotated[HarnessTask, BeforeValidator(task, json_schema_input_type=str | HarnessTask)]
