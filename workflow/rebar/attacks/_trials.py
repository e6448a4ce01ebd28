"""Many settings of one attack on one released model: the trials of a search.

An attack whose file has `examples(config, model, tokenizer, data) -> chats` is a plain fine-tuning
on those: such trials share forwards. Every other attack runs as it is, one trial after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar.attacks._tuning import Values
from rebar.config.kinds import FineTuningAttack
from rebar.config.plugins import plugin_module
from rebar.config.search import Search, Space

if TYPE_CHECKING:
    from rebar.attacks._data import AttackData
    from rebar.jobs.recorder import Recorder


class Attacker:
    """One attack in all its settings; `setting` is the one that the config gives."""

    def __init__(
        self, released: Path, setting: FineTuningAttack, data: AttackData, recorder: Recorder
    ) -> None:
        self.released, self.setting = released, setting
        self.data, self.recorder = data, recorder
        self.plugin = plugin_module("attacks", setting.method)

    def fresh(self) -> tuple[Any, Any]:
        """A copy of the released model, and its tokenizer: trials never share weights."""
        from rebar.model.build import load_model
        from rebar.model.device import on_local_device

        model, tokenizer = load_model(self.released)
        return on_local_device(model), tokenizer

    def space(self, search: Search) -> Space:
        """What is varied: the attack's own space with the search's entries in its place."""
        space = {**self.setting.tuning_space, **search.space}
        if not space:
            raise ValueError(
                f"searches: attack '{search.attack}' (method {self.setting.method}) has no "
                "tuning_space of its own; give the search a space:"
            )
        return space

    def own_values(self, space: Space) -> Values:
        """What the setting itself has at the keys of the space."""
        return {key: _value(self.setting, key) for key in space}

    def together(self, trials: Mapping[int, Values], most: int) -> list[list[int]]:
        """Numbers of trials that train together, at most so many; the rest alone."""
        if most == 1 or not self.setting.is_plain:
            return [[number] for number in trials]
        shapes = {n: _shape(with_values(self.setting, values)) for n, values in trials.items()}
        groups = groupby(sorted(trials, key=lambda n: (shapes[n], n)), key=lambda n: shapes[n])
        alike = [list(numbers) for _, numbers in groups]
        return [some[i : i + most] for some in alike for i in range(0, len(some), most)]

    def attacked(self, trials: Mapping[int, Values]) -> Iterator[tuple[int, Any, Any]]:
        """Number, attacked model and tokenizer of each trial; a model lives until the next."""
        settings = {number: with_values(self.setting, v) for number, v in trials.items()}
        if len(trials) > 1:
            yield from self._stacked(settings)
            return
        from rebar.jobs.recorder import Recorder

        for number, setting in settings.items():
            model, tokenizer = self.fresh()
            folder = self.recorder.folder / f"trial-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            label, identity = f"{self.recorder.label} trial {number}", self.recorder.identity
            recorder = Recorder(folder, label, self.recorder.stream, identity)
            own = replace(self.data, folder=folder)
            model = self.plugin.attack(setting, model, tokenizer, own, recorder)
            yield number, model, tokenizer

    def _stacked(self, settings: Mapping[int, FineTuningAttack]) -> Iterator[tuple[int, Any, Any]]:
        from rebar.training.checkpoints import trained_parameters
        from rebar.training.finetune import add_lora, chat_batches
        from rebar.training.stacked import Run, train_stacked

        model, tokenizer = self.fresh()
        runs = []
        for setting in settings.values():
            chats = self.plugin.examples(setting, model, tokenizer, self.data)
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
    """The setting with other values at dotted keys; ValueError names a key it does not have."""
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
    """What trials of one stack have in common."""
    training, lora = setting.training, (setting.lora_rank, setting.lora_alpha)
    return training.batch_size, training.sequence_length, training.precision, *lora
