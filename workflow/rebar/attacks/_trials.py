"""Many settings of one attack on one released model: the trials of a search.

A plain fine-tuning (`is_plain` of its settings) only trains on the chats that `examples(config,
target)` of its plug-in returns: such trials train together and share forward passes. All other
attacks run as they are, one trial after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar.attacks._target import Target, load_target
from rebar.attacks._tuning import Values
from rebar.config.kinds import FineTuningAttack
from rebar.config.plugins import plugin_module
from rebar.config.search import Search, Space

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.jobs.recorder import Recorder


@dataclass(frozen=True)
class Attacker:
    """An attack that is tried in many settings; `setting` is the one that the config gives."""

    setting: FineTuningAttack
    data: AttackData
    recorder: Recorder
    checkpoints: Path
    identity: str

    @property
    def plugin(self) -> Any:
        """The module of the attack."""
        return plugin_module("attacks", self.setting.method)

    def load_target(self, trial: int | None = None) -> Target:
        """Load the released model anew, so that trials never share weights."""
        from rebar.jobs.recorder import Recorder

        if trial is None:
            folder, recorder = self.checkpoints, self.recorder
        else:
            folder = self.checkpoints / f"trial-{trial}"
            folder.mkdir(parents=True, exist_ok=True)
            label = f"{self.recorder.label} trial {trial}"
            recorder = Recorder(folder, label, self.recorder.stream)
        how = {"folder": folder, "checkpoints": folder, "identity": self.identity}
        return load_target(self.data, recorder, **how)

    def space(self, search: Search) -> Space:
        """The settings that are varied: the attack's own ones, replaced by those of the search."""
        space = {**self.setting.tuning_space, **search.space}
        if not space:
            raise ValueError(
                f"searches: attack '{search.attack}' (method {self.setting.method}) has no "
                "tuning_space of its own; give the search a space:"
            )
        return space

    def own_values(self, space: Space) -> Values:
        """Values of the given setting at the keys of the space."""
        return {key: _value(self.setting, key) for key in space}

    def group_trials(self, trials: Mapping[int, Values], most: int) -> list[list[int]]:
        """Numbers of the trials in groups that train together, at most `most` in a group."""
        if most == 1 or not self.setting.is_plain:
            return [[number] for number in trials]
        shapes = {n: _shape(with_values(self.setting, values)) for n, values in trials.items()}
        groups = groupby(sorted(trials, key=lambda n: (shapes[n], n)), key=lambda n: shapes[n])
        alike = [list(numbers) for _, numbers in groups]
        return [some[i : i + most] for some in alike for i in range(0, len(some), most)]

    def run_trials(self, trials: Mapping[int, Values]) -> Iterator[tuple[int, Any, Any]]:
        """Yield number, attacked model and tokenizer of each trial; use a model before the next."""
        settings = {number: with_values(self.setting, v) for number, v in trials.items()}
        if len(trials) > 1:
            yield from self._stacked(settings)
            return
        for number, setting in settings.items():
            target = self.load_target(number)
            yield number, self.plugin.attack(setting, target), target.tokenizer

    def _stacked(self, settings: Mapping[int, FineTuningAttack]) -> Iterator[tuple[int, Any, Any]]:
        from rebar.training.checkpoints import trained_parameters
        from rebar.training.finetune import add_lora, chat_batches
        from rebar.training.stacked import Run, train_stacked

        target = self.load_target()
        model, tokenizer, runs = target.model, target.tokenizer, []
        for setting in settings.values():
            chats = self.plugin.examples(setting, target)
            batch_at = chat_batches(tokenizer, chats, setting.training, self.data.seed)
            runs.append(Run(batch_at, setting.training))
        first = next(iter(settings.values()))
        adapted = add_lora(model, first, seed=self.data.seed) if first.lora_rank else model
        weights = train_stacked(adapted, runs, len(runs))
        for number, trained in zip(settings, weights, strict=True):
            for name, parameter in trained_parameters(adapted).items():
                parameter.data.copy_(trained[name])
            yield number, adapted, tokenizer


def with_values(setting: FineTuningAttack, values: Values) -> FineTuningAttack:
    """The setting with these values at dotted keys; ValueError names a key that it lacks."""
    content = setting.model_dump()
    for key, value in values.items():
        *path, last = key.split(".")
        inner = content
        for step in path:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last not in inner:
            raise ValueError(f"space: {setting.method} has no setting '{key}'")
        inner[last] = value
    return type(setting)(**content)


def _value(setting: FineTuningAttack, key: str) -> Any:
    found: Any = setting.model_dump()
    for step in key.split("."):
        if not isinstance(found, dict) or step not in found:
            raise ValueError(f"space: the attack has no setting '{key}'")
        found = found[step]
    return found


def _shape(setting: FineTuningAttack) -> tuple[Any, ...]:
    """What trials must have in common to train together."""
    training, lora = setting.training, (setting.lora_rank, setting.lora_alpha)
    return training.batch_size, training.sequence_length, training.precision, *lora
