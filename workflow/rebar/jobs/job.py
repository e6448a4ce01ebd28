"""A job: one node of the DAG as plain data, and what makes it run again.

`spec` carries the settings that the stage uses, a hash of the code that it runs (syntax tree,
without comments and docstrings) and of the files that the settings name, so that editing a setting,
a plug-in or a file recomputes exactly what depends on it. Snakemake compares it as a parameter.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rebar import grid
from rebar.config.base import NONE, Settings
from rebar.config.file import Config
from rebar.config.model import Training
from rebar.config.plugins import SAFEGUARDS, safeguard_settings
from rebar.config.safeguard import Safeguard
from rebar.grid import Arm, Models, dag
from rebar.jobs.code_hashes import code_hashes
from rebar.jobs.files import contents, named_files

Section = TypeVar("Section", bound=Settings)


@dataclass(frozen=True)
class Job:
    """What a stage is told: who it is, where to write, with which settings."""

    stage: str
    root: Path
    wildcards: dict[str, Any]
    settings: dict[str, Any]
    code: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # content of what the settings name

    @classmethod
    def from_json(cls, text: str, root: Path) -> Job:
        """Read what `spec` wrote."""
        return cls(root=root, **json.loads(text))

    @property
    def spec(self) -> dict[str, Any]:
        """The re-run trigger: everything but the place."""
        keys = ("stage", "wildcards", "settings", "code", "files")
        return {key: getattr(self, key) for key in keys}

    @property
    def identity(self) -> str:
        """The spec as one string: a checkpoint of another spec is never resumed."""
        return json.dumps(self.spec, sort_keys=True)

    @property
    def seed(self) -> int:
        """Seed of everything stochastic in the job."""
        return int(self.wildcards["seed"])

    @property
    def folder(self) -> Path:
        """Output folder of the job."""
        return self.path(self.stage)

    @property
    def checkpoints(self) -> Path:
        """Where training states of the job lie, not declared as outputs."""
        return self.root / "checkpoints" / grid.folder(self.stage, **self.wildcards)

    @property
    def arm(self) -> Arm:
        """Recipe, safeguard, alignment of the job."""
        return grid.arm_of(self.wildcards)

    @property
    def models(self) -> Models[Path]:
        """Folders of the arm's models."""
        return Models(*(self.root / f for f in grid.models_of(self.seed, self.arm, self.acts_in)))

    @property
    def acts_in(self) -> str:
        """The run that the arm's safeguard shapes; `none` without one."""
        return self.settings.get("acts_in", NONE)

    @property
    def safeguard(self) -> Safeguard | None:
        """The arm's safeguard if it acts in this job."""
        found = self.settings.get(SAFEGUARDS, {})
        return next((safeguard_settings(*each) for each in found.items()), None)

    @property
    def label(self) -> str:
        """The job in words."""
        return grid.label(self.stage, self.wildcards)

    @property
    def training(self) -> Training | None:
        """The job's training if it has one that several processes can share."""
        return dag.training_of(self.stage, self.wildcards, self.settings)

    def path(self, stage: str, **wildcards: Any) -> Path:
        """Output folder of a stage, with this job's wildcards unless others are given."""
        return self.root / grid.folder(stage, **{**self.wildcards, **wildcards})

    def section(self, name: str, section: type[Section]) -> Section:
        """One typed section of the settings."""
        return section(**self.settings[name])

    def item(self, settings: dict[str, Any], code: set[str], **wildcards: Any) -> dict[str, Any]:
        """Spec of one of the job's items: the part of the job's own that the item depends on."""
        files = set(named_files(settings))
        return {
            "stage": self.stage,
            "wildcards": {**self.wildcards, **wildcards},
            "settings": settings,
            "code": {key: value for key, value in self.code.items() if key in {"stage", *code}},
            "files": {path: content for path, content in self.files.items() if path in files},
        }

    def item_spec(self, name: str) -> dict[str, Any]:
        """Spec of the item of this name: it stays valid while the job's other items change."""
        stage = grid.STAGES[self.stage]
        assert stage.item_parts is not None, f"{self.stage} has no items"
        parts = stage.item_parts(self.settings, name)
        return self.item(parts.settings, parts.code, **{stage.item_wildcard: name})

    def rng(self, *labels: str | int) -> random.Random:
        """Random numbers that depend on the seed and `labels` alone."""
        return random.Random("/".join(map(str, (self.seed, *labels))))


def make_job(config: Config, root: Path, stage: str, **wildcards: Any) -> Job:
    """The job of a stage for these wildcards."""
    values = grid.typed(wildcards)
    settings = _plain(dag.settings_of(config, stage, values))
    code = code_hashes(stage, settings)
    return Job(stage, root, values, settings, code, contents(settings))


def _plain(value: Any) -> Any:
    """Settings as JSON values, keys in the order that the command line gives them."""
    if isinstance(value, Settings):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
