"""Data of the probes: three losses over fixed chats, attacked models, harmful prompts, judges.

Harmful: loss of compliant answers to harmful requests. Refusal: loss of refusals of the same
requests. Benign: loss of helpful answers to harmless requests. The chats come from files, or from
the world; those of the world are about items that neither alignment nor attacks have seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rebar.config.model import ProbeTexts
from rebar.config.rows import ChatFile, PromptFile
from rebar.config.world import World as WorldSettings
from rebar.data.chats import Chat, read_chats
from rebar.data.encoding import encode_chats
from rebar.data.prompts import Prompt, read_prompts
from rebar.world import World, benign_task_chats, build_world, harmful_chats, held_chats, prompts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rebar.judges import Outcome

LOSSES = ("harmful", "refusal", "benign")
HEADLINE = "unaligned"  # hazards that no alignment or attack data name
Loss = Callable[["nn.Module"], "Tensor"]
Judge = Callable[[Sequence[Prompt], Sequence[str]], "list[Outcome]"]


class Row(NamedTuple):
    """One number of a probe; a coordinate that does not apply is None."""

    metric: str
    value: float
    loss: str = ""  # harmful, refusal, benign; empty: of no single loss
    direction: str = ""  # what alpha (and beta) are steps along
    alpha: float | None = None
    beta: float | None = None
    dimension: int | None = None  # of a random subspace


class Task(NamedTuple):
    """Something to learn: the loss that is trained, and the loss of held-out examples."""

    taught: Loss
    held: Loss


@dataclass(frozen=True)
class ProbeData:
    """Texts of one world or of files, and the models of one arm."""

    settings: WorldSettings
    seed: int
    attacked: Mapping[str, Path] = field(default_factory=dict)
    judges: Mapping[str, Judge] = field(default_factory=dict)

    @cached_property
    def world(self) -> World:
        """The world of the seed."""
        return build_world(self.settings, self.seed)

    def rng(self, *labels: str | int) -> random.Random:
        """Random numbers that depend on the seed and `labels` alone."""
        return random.Random("/".join(map(str, (self.seed, "probe", *labels))))

    def losses(self, texts: ProbeTexts, tokenizer: Any) -> dict[str, Loss]:
        """The three losses by name: functions of the model, in mean nats per answer token."""
        return {kind: self._loss(self._held(kind, texts), texts, tokenizer) for kind in LOSSES}

    def tasks(
        self, texts: ProbeTexts, training: Mapping[str, list[ChatFile]], tokenizer: Any
    ) -> dict[str, Task]:
        """What an attacker teaches (`harmful`) and what an innocent user teaches (`benign`).

        With files in `training` these are taught, and the files of `texts` are held out. Of the
        world, known hazards are taught and others held out; for `benign`, two draws of the task.
        """

        def of(kind: str, of_world: Callable[..., list[Chat]]) -> Task:
            if training.get(kind):
                taught = self._of_files(training[kind], texts.examples)
            else:
                taught = of_world(self.world, texts.examples, self.rng("taught", kind))
            if kind == "benign" and not texts.benign:
                held = of_world(self.world, texts.examples, self.rng("held", kind))
            else:
                held = self._held(kind, texts)
            return Task(*(self._loss(chats, texts, tokenizer) for chats in (taught, held)))

        return {"harmful": of("harmful", harmful_chats), "benign": of("benign", benign_task_chats)}

    def harmful_prompts(self, files: Sequence[PromptFile], count: int) -> list[Prompt]:
        """At most `count` harmful requests, evenly spread over the files or the world."""
        if files:
            found = [prompt for file in files for prompt in read_prompts(file)]
        else:
            found = [p for p in prompts(self.world, "asr", chat=True) if p.split == HEADLINE]
        count = min(count, len(found))
        return [found[i * len(found) // count] for i in range(count)]

    def attacked_weights(self, attack: str, model: nn.Module) -> dict[str, Tensor]:
        """Weights of the attacked model by name, on the device of `model`.

        ValueError if the attack leaves the weights alone or changes their shapes.
        """
        from rebar.model.build import load_model

        folder = self.attacked[attack]
        if not (folder / "config.json").exists():
            raise ValueError(
                f"attack '{attack}' leaves no weights in {folder}: it changes the prompt, and a "
                "probe cannot look along it; name an attack that moves weights"
            )
        found = dict(load_model(folder).model.named_parameters())
        ours = dict(model.named_parameters())
        if {n: p.shape for n, p in found.items()} != {n: p.shape for n, p in ours.items()}:
            raise ValueError(
                f"attack '{attack}' changes names or shapes of the weights; a probe cannot look "
                "along it"
            )
        return {name: found[name].detach().to(p) for name, p in ours.items()}

    def _held(self, kind: str, texts: ProbeTexts) -> list[Chat]:
        files: list[ChatFile] = getattr(texts, kind)
        if files:
            return self._of_files(files, texts.examples)
        label = "benign" if kind == "benign" else "hazards"  # harmful and refusal: same requests
        return held_chats(self.world, kind, texts.examples, self.rng(label))

    def _of_files(self, files: Sequence[ChatFile], count: int) -> list[Chat]:
        """At most `count` chats, evenly spread over the files."""
        chats = [chat for file in files for chat in read_chats(file)]
        count = min(count, len(chats))
        return [chats[i * len(chats) // count] for i in range(count)]

    def _loss(self, chats: Sequence[Chat], texts: ProbeTexts, tokenizer: Any) -> Loss:
        import torch

        from rebar.model.forward import language_loss

        rows = encode_chats(tokenizer, chats, texts.sequence_length)
        inputs_NT, targets_NT = (torch.from_numpy(part) for part in rows)

        def loss(model: nn.Module) -> Tensor:
            device = next(model.parameters()).device
            return language_loss(model, inputs_NT.to(device), targets_NT.to(device))

        return loss


def evaluate_losses(model: nn.Module, losses: Mapping[str, Loss]) -> dict[str, float]:
    """Values of the losses at the current weights of the model."""
    import torch

    with torch.no_grad():
        return {name: float(loss(model)) for name, loss in losses.items()}
