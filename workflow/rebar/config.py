"""Typed settings: every key of a config file, its type, unit and meaning.

A config file is complete in itself; a key left out takes the default below. Dicts define named
settings, lists select them. `config/README.md` and `workflow/schemas/config.schema.json` are
generated from these classes (`make schema`). No torch here: the driver and `--help` stay light.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    Field,
    SerializeAsAny,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from rebar.settings.base import Count, Name, Settings
from rebar.settings.corpus import Collect, Recipe, Rewrite, Score, Tokenize, TrainClassifier
from rebar.settings.decoding import Decoder
from rebar.settings.model import Model, Training
from rebar.settings.report import Audit, Report
from rebar.settings.safeguard import Safeguard
from rebar.settings.search import CostToBreak, Search
from rebar.settings.world import World

PLUGIN_FOLDERS = ("alignments", "attacks", "evaluations", "judges", "probes")
PARTS = "safeguards"  # the folder whose plug-ins are parts of a named setting, not the setting
NONE = "none"  # no alignment, no attack, no safeguard
TUNED = "tuned_"  # what names of searches begin with: a name tells where its model lies
SEARCH_NAME = rf"^{TUNED}[\w-]+$"


class Block(Settings):
    """A product of names; the grid is the union of its blocks."""

    recipes: tuple[str, ...] = Field(min_length=1, description="names of recipes")
    safeguards: tuple[str, ...] = Field(default=(NONE,), description="names of safeguards")
    alignments: tuple[str, ...] = Field(min_length=1, description="names of alignments, or none")
    attacks: tuple[str, ...] = Field(
        default=(NONE,), description="names of attacks and searches, or none"
    )
    decoders: tuple[str, ...] = Field(min_length=1, description="names of decoders")
    evaluations: tuple[str, ...] = Field(min_length=1, description="names of evaluations")
    probes: tuple[str, ...] = Field(default=(), description="names of probes of released models")


class Config(Settings):
    """A whole config file."""

    name: Name = Field(description="results go to results/<name>; two files may share one")
    seeds: list[Count] = Field(default=[11], min_length=1, description="seeds of the reported runs")
    require_pins: bool = Field(
        default=False, description="no job starts while an id of the Hub lacks its commit"
    )
    world: World = Field(default=World(), description="the embedded world")
    collect: Collect = Field(
        default=Collect(), description="documents in; needed where a recipe has parts"
    )
    train_classifier: TrainClassifier = Field(
        default=TrainClassifier(), description="safety classifier"
    )
    score: Score = Field(default=Score(), description="scoring")
    rewrite: Rewrite = Field(default=Rewrite(), description="rewriting")
    recipes: dict[Name, Recipe] = Field(description="corpora, by name")
    tokenize: Tokenize = Field(default=Tokenize(), description="tokenizer and packing")
    model: Model = Field(default=Model(), description="architecture")
    pretrain: Training = Field(
        default=Training(steps=0, learning_rate=1e-3),
        description="pretraining; needed where a recipe has parts",
    )
    alignments: dict[Name, SerializeAsAny[Settings]] = Field(
        default={}, description="post-training, by name"
    )
    safeguards: dict[Name, Safeguard] = Field(
        default={}, description="trainings that shape the loss landscape, by name"
    )
    attacks: dict[Name, SerializeAsAny[Settings]] = Field(
        default={}, description="attacks, by name"
    )
    searches: dict[Annotated[str, StringConstraints(pattern=SEARCH_NAME)], Search] = Field(
        default={},
        description="tuned attackers; their names begin with tuned_ and stand among a block's "
        "attacks",
    )
    cost_to_break: CostToBreak = Field(
        default=CostToBreak(), description="when watched attacks break a model"
    )
    decoders: dict[Name, Decoder] = Field(description="decoders, by name")
    judges: dict[Name, SerializeAsAny[Settings]] = Field(default={}, description="judges, by name")
    evaluations: dict[Name, SerializeAsAny[Settings]] = Field(description="evaluations, by name")
    probes: dict[Name, SerializeAsAny[Settings]] = Field(
        default={}, description="measurements of the loss landscape, by name"
    )
    grid: tuple[Block, ...] = Field(min_length=1, description="what is measured")
    audit: Audit = Field(default=Audit(), description="what the judges are compared with")
    report: Report = Field(default=Report(), description="what the report puts in front")

    @field_validator(*PLUGIN_FOLDERS, mode="before")
    @classmethod
    def _by_plugin(cls, settings: Any, info: Any) -> Any:
        return _each(settings, partial(plugin_settings, info.field_name))

    @field_validator(PARTS, mode="before")
    @classmethod
    def _by_part(cls, settings: Any) -> Any:
        return _each(settings, safeguard_settings)

    @model_validator(mode="after")
    def _corpus_of_recipes(self) -> Config:
        missing = [key for key in ("collect", "pretrain") if key not in self.model_fields_set]
        if not self.collect.sources and not missing:
            missing = ["collect.sources"]
        for name, recipe in self.recipes.items():
            if recipe.parts and missing:
                raise ValueError(f"{missing[0]}: this key is required, since '{name}' has parts")
        return self

    @field_validator("attacks")
    @classmethod
    def _one_process(cls, attacks: dict[str, Settings]) -> dict[str, Settings]:
        """A job attacks one model after the other, which a launcher of one training cannot."""
        for name, setting in attacks.items():
            training = getattr(setting, "training", None)
            if training is not None and training.num_processes > 1:
                raise ValueError(
                    f"attacks.{name}.training: an attack is one process; leave nodes and "
                    "processes_per_node at 1"
                )
        return attacks


def _each(settings: Any, validated: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Named settings, each validated; ValueError has the problems of all."""
    if not isinstance(settings, Mapping):
        raise ValueError(f"named settings are a mapping, not {settings!r}; leave the key out")
    done, problems = {}, []
    for name, values in dict(settings).items():
        try:
            done[name] = validated(name, values)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return done


def plugin_names(folder: str) -> tuple[str, ...]:
    """Names of the plug-ins of a folder: the listing is the registry."""
    path = Path(__file__).parent / folder
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(path)]) if m.name[0] != "_"))


def plugin_module(folder: str, method: str) -> Any:
    """The plug-in's module; ValueError lists the known names (the one upward look)."""
    names = plugin_names(folder)
    if method not in names:
        raise ValueError(f"method '{method}' is unknown; known: {', '.join(names)}")
    return importlib.import_module(f"rebar.{folder}.{method}")


def plugin_settings(folder: str, name: str, values: Any) -> Any:
    """Validate one named setting by its plug-in's Config."""
    if isinstance(values, Settings):
        return values
    if not isinstance(values, Mapping) or not isinstance(values.get("method"), str):
        known = ", ".join(plugin_names(folder))
        raise ValueError(f"{folder}.{name} needs 'method:', one of {known}")
    try:
        config_class = plugin_module(folder, values["method"]).Config
    except ValueError as error:
        raise ValueError(f"{folder}.{name}: {error}") from error
    try:
        return config_class(**values)
    except ValidationError as error:
        sentences = _sentences(error, config_class, values, f"{folder}.{name}")
        raise ValueError("\n".join(sentences)) from error


def safeguard_settings(name: str, values: Any) -> Safeguard:
    """Validate one safeguard, each of its parts by its plug-in's Config."""
    if isinstance(values, Safeguard):
        return values
    place = f"{PARTS}.{name}"
    if not isinstance(values, Mapping):
        raise ValueError(f"{place} is a mapping with acts_in: and parts:, not {values!r}")
    parts = values.get("parts")
    if isinstance(parts, list):
        numbered = {f"{name}.parts.{index}": part for index, part in enumerate(parts)}
        typed = _each(numbered, partial(plugin_settings, PARTS))
        values = {**values, "parts": list(typed.values())}
    try:
        return Safeguard(**values)
    except ValidationError as error:
        raise ValueError("\n".join(_sentences(error, Safeguard, values, place))) from error


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Names allowed beside an unknown key: walk the annotations along its location."""
    for step in location[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is not None and step in fields:
            model = fields[step].annotation
        for _ in range(4):  # unwrap list[...], dict[..., ...], Annotated, X | None
            if hasattr(model, "model_fields"):
                break
            arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None)]
            tagged = {_tag_of(a): a for a in arguments if _tag_of(a)}
            if len(tagged) > 1 and step not in tagged:
                break  # a union: its tag is a later step of the location
            model = tagged.get(step) or (arguments[-1] if arguments else model)
    return sorted(getattr(model, "model_fields", {}))


def _tag_of(model: Any) -> str | None:
    for key in ("kind", "method"):
        field = getattr(model, "model_fields", {}).get(key)
        if field is not None and getattr(field.annotation, "__args__", None):
            return str(field.annotation.__args__[0])
    return None


def _key(location: tuple[Any, ...], values: Any) -> str:
    """The key as it stands in the file: pydantic also names the tag of a union's member."""
    parts = []
    for step in location:
        if isinstance(values, Mapping) and step not in values:
            if step in (values.get("kind"), values.get("method")):
                continue
        parts.append(str(step))
        is_there = isinstance(values, list) or (isinstance(values, Mapping) and step in values)
        values = values[step] if is_there else None
    return ".".join(parts)


def _sentences(
    error: ValidationError, model: Any, values: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """One sentence a problem: which key, which value, what is allowed."""
    sentences = []
    for problem in error.errors(include_url=False):
        location = tuple(problem["loc"])
        key = ".".join(part for part in (prefix, _key(location, values)) if part)
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_at(model, location)) or "no keys"
            sentences.append(f"{key}: unknown key; allowed: {allowed}")
        elif problem["type"] == "missing":
            sentences.append(f"{key}: this key is required")
        elif problem["type"] == "value_error":
            message = str(problem.get("ctx", {})["error"])
            sentences.extend(m if m.startswith(key) else f"{key}: {m}" for m in message.split("\n"))
        else:
            message = problem["msg"].replace("tuple", "list")  # as YAML knows it
            sentences.append(f"{key}: {message}; got {problem['input']!r}")
    return sentences


def parse_config(values: Mapping[str, Any], file: str) -> Config:
    """Validate a mapping; ValueError names file, key, value and what is allowed."""
    try:
        return Config(**dict(values))
    except ValidationError as error:
        lines = "\n".join(f"{file}: {line}" for line in _sentences(error, Config, values))
        raise ValueError(lines) from error


def load_config(file: str | Path) -> Config:
    """Read and validate one config file."""
    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not valid YAML: {error}") from error
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such config file") from error
    if not isinstance(values, Mapping):
        raise ValueError(f"{file}: a config file is a mapping of keys, see config/README.md")
    return parse_config(values, str(file))
