"""Typed settings: every key of a config file, its type, unit and meaning.

A config file is complete in itself; a key left out takes the default below. Dicts define named
settings, lists select them. `config/README.md` and `workflow/schemas/config.schema.json` are
generated from these classes (`make schema`). No torch here: the driver and `--help` stay light.
"""

from __future__ import annotations

from collections.abc import Mapping
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

from rebar.config.base import NONE, Count, Name, Settings
from rebar.config.corpus import Collect, Recipe, Rewrite, Score, Tokenize, TrainClassifier
from rebar.config.decoding import Decoder
from rebar.config.errors import sentences
from rebar.config.kinds import Alignment, Attack, Evaluation, FineTuningAttack, Judge, Probe
from rebar.config.model import Model, Training
from rebar.config.plugins import (
    PLUGIN_FOLDERS,
    SAFEGUARDS,
    plugin_settings,
    safeguard_settings,
    validate_each,
)
from rebar.config.report import Audit, Report
from rebar.config.safeguard import Safeguard
from rebar.config.search import SEARCH_NAME, CostToBreak, Search
from rebar.config.world import World


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
    alignments: dict[Name, SerializeAsAny[Alignment]] = Field(
        default={}, description="post-training, by name"
    )
    safeguards: dict[Name, Safeguard] = Field(
        default={}, description="trainings that shape the loss landscape, by name"
    )
    attacks: dict[Name, SerializeAsAny[Attack]] = Field(default={}, description="attacks, by name")
    searches: dict[Annotated[str, StringConstraints(pattern=SEARCH_NAME)], Search] = Field(
        default={},
        description="tuned attackers; their names begin with tuned_ and stand among a block's "
        "attacks",
    )
    cost_to_break: CostToBreak = Field(
        default=CostToBreak(), description="when watched attacks break a model"
    )
    decoders: dict[Name, Decoder] = Field(description="decoders, by name")
    judges: dict[Name, SerializeAsAny[Judge]] = Field(default={}, description="judges, by name")
    evaluations: dict[Name, SerializeAsAny[Evaluation]] = Field(description="evaluations, by name")
    probes: dict[Name, SerializeAsAny[Probe]] = Field(
        default={}, description="measurements of the loss landscape, by name"
    )
    grid: tuple[Block, ...] = Field(min_length=1, description="what is measured")
    audit: Audit = Field(default=Audit(), description="what the judges are compared with")
    report: Report = Field(default=Report(), description="what the report puts in front")

    @field_validator(*PLUGIN_FOLDERS, mode="before")
    @classmethod
    def _by_plugin(cls, settings: Any, info: Any) -> Any:
        return validate_each(settings, partial(plugin_settings, info.field_name))

    @field_validator(SAFEGUARDS, mode="before")
    @classmethod
    def _by_part(cls, settings: Any) -> Any:
        return validate_each(settings, safeguard_settings)

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
    def _one_process(cls, attacks: dict[str, Attack]) -> dict[str, Attack]:
        """A job attacks one model after the other, but a launcher starts a single training."""
        for name, setting in attacks.items():
            if isinstance(setting, FineTuningAttack) and setting.training.num_processes > 1:
                raise ValueError(
                    f"attacks.{name}.training: an attack is one process; leave nodes and "
                    "processes_per_node at 1"
                )
        return attacks


def parse_config(values: Mapping[str, Any], file: str) -> Config:
    """Validate a mapping; ValueError names file, key, value and what is allowed."""
    try:
        return Config(**dict(values))
    except ValidationError as error:
        lines = "\n".join(f"{file}: {line}" for line in sentences(error, Config, values))
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
