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
from rebar.config.plugins import SAFEGUARDS, plugin_settings, safeguard_settings
from rebar.config.safeguard import Safeguard
from rebar.grid import Arm, Models
from rebar.jobs.code_hashes import code_hashes
from rebar.jobs.files import contents, named_files

ASKED = ("asr", "capability")  # keys of a search that name evaluations
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
    def models(self) -> Models:
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

    def attack_item(self, name: str) -> dict[str, Any]:
        """Spec of one attacked model, which does not depend on the arm's other attacks."""
        settings = {"world": self.settings["world"], "attack": self.settings["attacks"][name]}
        return self._watched_item(settings, {f"attacks.{name}"}, name)

    def _watched_item(self, settings: dict[str, Any], code: set[str], name: str) -> dict[str, Any]:
        """Spec of an attack, tuned or not, with who watches it if somebody does."""
        if name in self.settings.get("cost_to_break", {}).get("attacks", ()):
            watch = ("cost_to_break", "headline_split", "evaluations", "judges")
            settings |= {key: self.settings[key] for key in watch}
            asked = ("watch", "evaluations.", "judges.")
            code |= {key for key in self.code if key.startswith(asked)}
        return self.item(settings, code, attack=name)

    def search_item(self, name: str) -> dict[str, Any]:
        """Spec of one tuned attack, which does not depend on the arm's other searches."""
        search = self.settings["searches"][name]
        asked = {search[key]: self.settings["evaluations"][search[key]] for key in ASKED}
        typed = [plugin_settings("evaluations", key, values) for key, values in asked.items()]
        used = {judge for setting in typed for judge in setting.judges}
        judges = {judge: self.settings["judges"][judge] for judge in sorted(used)}
        settings = {
            "world": self.settings["world"],
            "search": search,
            "attack": self.settings["attacks"][search["attack"]],
            "evaluations": asked,
            "judges": judges,
        }
        code = {f"attacks.{search['attack']}", *(f"judges.{judge}" for judge in judges)}
        return self._watched_item(settings, code | {f"evaluations.{key}" for key in asked}, name)

    def probe_item(self, name: str) -> dict[str, Any]:
        """Spec of one probe's rows, which do not depend on the arm's other probes."""
        setting = self.settings["probes"][name]
        judge = setting.get("judge")
        judges = {judge: self.settings["judges"][judge]} if judge else {}
        settings = {"world": self.settings["world"], "probe": setting, "judges": judges}
        return self.item(settings, {f"probes.{name}", f"judges.{judge}"}, probe=name)

    def rng(self, *labels: str | int) -> random.Random:
        """Random numbers that depend on the seed and `labels` alone."""
        return random.Random("/".join(map(str, (self.seed, *labels))))


def make_job(config: Config, root: Path, stage: str, **wildcards: Any) -> Job:
    """The job of a stage for these wildcards."""
    values = grid.typed(wildcards)
    settings = _plain(_SETTINGS[stage](config, values) | _safeguarded(config, stage, values))
    code = code_hashes(stage, settings)
    return Job(stage, root, values, settings, code, contents(settings))


def _plain(value: Any) -> Any:
    """Settings as JSON values, keys in the order that the command line gives them."""
    if isinstance(value, Settings):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _safeguarded(config: Config, stage: str, wildcards: dict[str, Any]) -> dict[str, Any]:
    """Where the arm's safeguard acts, and all of it in that stage; nothing without one."""
    name = wildcards.get("safeguard", NONE)
    if name == NONE:
        return {}
    place = {"acts_in": grid.acts_in(config, name)}
    acting = grid.acting(config, stage, wildcards)
    return place | ({"world": config.world, SAFEGUARDS: {name: acting}} if acting else {})


def _align(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    alignment = config.alignments[wildcards["alignment"]]
    tagged = config.recipes[wildcards["recipe"]].tagged
    return {
        "world": config.world,
        "alignments": {wildcards["alignment"]: alignment},
        "tagged": tagged,
    }


def _attack(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    names = grid.fixed_attacks(config, grid.arm_of(wildcards))
    settings = {"world": config.world, "attacks": {name: config.attacks[name] for name in names}}
    return settings | _watched(config, names, [])


def _watched(config: Config, names: list[str], asked: list[str]) -> dict[str, Any]:
    """Evaluations that are asked for, and what the watching of such attacks needs, if any is."""
    watch = config.cost_to_break
    if set(watch.attacks).isdisjoint(names):
        return _asked(config, asked) if asked else {}
    of_watch = {"cost_to_break": watch, "headline_split": config.report.headline_split}
    return of_watch | _asked(config, [*asked, watch.asr, watch.capability])


def _search(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    names = grid.searches(config, grid.arm_of(wildcards))
    searches = {name: config.searches[name] for name in names}
    attacks = {search.attack: config.attacks[search.attack] for search in searches.values()}
    asked = [name for search in searches.values() for name in (search.asr, search.capability)]
    settings = {"world": config.world, "searches": searches, "attacks": attacks}
    return settings | _watched(config, names, asked)


def _asked(config: Config, names: list[str]) -> dict[str, Any]:
    """Evaluations with their judges."""
    evaluations = {name: config.evaluations[name] for name in names}
    judges = {j: config.judges[j] for e in evaluations.values() for j in e.judges}
    return {"evaluations": evaluations, "judges": judges}


def _evaluate(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    cells = grid.measurements(config, grid.arm_of(wildcards))
    guards = grid.guard_judges(grid.decoders(config, grid.arm_of(wildcards)))
    asked = _asked(config, [cell.evaluation for cell in cells])
    asked["judges"] |= {name: config.judges[name] for name in guards}
    return {
        "world": config.world,
        "measurements": [list(cell) for cell in cells],
        "decoders": {c.decoder: config.decoders[c.decoder] for c in cells},
        **asked,
    }


def _probe(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    probes = {n: config.probes[n] for n in grid.probes(config, grid.arm_of(wildcards))}
    used = [setting.own_judge for setting in probes.values()]
    judges = {name: config.judges[name] for name in used if name}
    return {"world": config.world, "probes": probes, "judges": judges}


def _audit(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    """Who is asked, and which stored answers there are."""
    return {
        "audit": config.audit,
        "judges": config.judges,
        "answers": [str(folder) for folder in grid.evaluated(config)],
    }


def _whole_grid(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _pretrain(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    recipe = config.recipes[wildcards["recipe"]]
    if recipe.initial_model:
        return {"initial_model": recipe.initial_model, "revision": recipe.revision}
    return {"initial_model": None, "model": config.model, "pretrain": config.pretrain}


def _mix(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    recipe = config.recipes[wildcards["recipe"]]
    poisoned = {"world": config.world} if recipe.poison else {}
    return {"recipe": recipe, "shards": config.collect.shards, **poisoned}


def _tokenize(config: Config, wildcards: dict[str, Any]) -> dict[str, Any]:
    tokens = config.pretrain.steps * config.pretrain.tokens_per_step
    return {"tokenize": config.tokenize, "tokens": tokens}


_SETTINGS = {
    "collect": lambda c, w: {"collect": c.collect, "world": c.world},
    "train_classifier": lambda c, w: {"train_classifier": c.train_classifier, "world": c.world},
    "score": lambda c, w: {"score": c.score},
    "rewrite": lambda c, w: {"rewrite": c.rewrite},
    "mix": _mix,
    "tokenize": _tokenize,
    "pretrain": _pretrain,
    "align": _align,
    "safeguard": lambda c, w: {},
    "attack": _attack,
    "search": _search,
    "evaluate": _evaluate,
    "probe": _probe,
    "audit": _audit,
    "summarize": _whole_grid,
    "report": _whole_grid,
    "track": lambda c, w: {"name": c.name},
}
