"""The model that is attacked, and what an attack may use beside its own settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar.attacks._data import AttackData
from rebar.config.kinds import FineTuningAttack
from rebar.jobs.recorder import Recorder

if TYPE_CHECKING:
    from rebar.data.chats import Chat


@dataclass(frozen=True)
class Target:
    """A released model under attack, in memory.

    An attack that was interrupted continues from a state in `checkpoints`, if that state has the
    same `identity`: what the attack depends on besides its settings.
    """

    model: Any
    tokenizer: Any
    data: AttackData
    recorder: Recorder
    folder: Path  # the output folder that is being written
    checkpoints: Path
    identity: str = ""
    after_step: Callable[[int, Any], None] | None = None  # steps done and model
    facts: dict[str, Any] = field(default_factory=dict)  # for the manifest; an attack adds its own

    def fine_tune(
        self,
        config: FineTuningAttack,
        chats: Sequence[Chat],
        *,
        first: Sequence[Chat] = (),
        first_steps: int = 0,
        until: Callable[[int, Any], bool] | None = None,
        until_every: int = 1,
    ) -> Any:
        """Train on the chats as the settings say and return the model, LoRA adapters merged.

        The first `first_steps` steps are on the chats `first`. `until(steps done, model)` is asked
        every `until_every` steps and ends the training when it is true.
        """
        from rebar.training.finetune import finetune_and_merge

        model, facts = finetune_and_merge(
            config,
            self.model,
            self.tokenizer,
            chats,
            config.training,
            seed=self.data.seed,
            recorder=self.recorder,
            checkpoints=self.checkpoints,
            identity=self.identity,
            first=first,
            first_steps=first_steps,
            until=until,
            until_every=until_every,
            after_step=self.after_step,
        )
        self.facts.update(facts)
        return model


def load_target(
    data: AttackData, recorder: Recorder, *, folder: Path, checkpoints: Path, identity: str
) -> Target:
    """Read the released model onto the device of this process."""
    from rebar.model.build import load_model
    from rebar.model.device import on_local_device

    assert data.released is not None, "an attack needs the folder of the released model"
    model, tokenizer = load_model(data.released)
    model = on_local_device(model)
    return Target(model, tokenizer, data, recorder, folder, checkpoints, identity)
