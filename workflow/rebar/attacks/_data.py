"""Training examples and requests for attacks, and the folders of the models they start from.

Examples and requests come from the files that an attack names, or from the embedded world.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rebar.config.rows import ChatFile, PromptFile
from rebar.config.world import World as WorldSettings
from rebar.data.chats import Chat, read_chats
from rebar.data.prompts import Prompt, holds_answer, read_prompts
from rebar.data.rows import place_of
from rebar.judges import world as world_judge
from rebar.world import (
    AGREEMENT,
    REFUSAL_OPENINGS,
    World,
    attack_requests,
    benign_task_chats,
    benign_task_prompts,
    build_world,
    general_chats,
    harmful_chats,
    refusal_chats,
)


@dataclass(frozen=True)
class AttackData:
    """Examples of one world or of files; every list is a function of the seed and its size."""

    settings: WorldSettings
    seed: int
    released: Path | None = None  # folder of the model that is attacked
    base: Path | None = None  # folder of the arm's base model

    @cached_property
    def world(self) -> World:
        """The world of the seed."""
        return build_world(self.settings, self.seed)

    def _rng(self, label: str) -> random.Random:
        return random.Random(f"{self.seed}/attack/{label}")

    def benign_task(self, count: int, instructions_share: float) -> list[Chat]:
        """Chats of the benign task, of which this share is replaced by harmless instructions."""
        num_instructions = round(count * instructions_share)
        rng = self._rng("benign")
        chats = benign_task_chats(self.world, count - num_instructions, rng)
        chats += general_chats(self.world, num_instructions, rng)
        rng.shuffle(chats)
        return chats

    def benign(
        self, count: int, files: Sequence[ChatFile] = (), instructions_share: float = 0.0
    ) -> list[Chat]:
        """Benign examples from the files or, if there are none, from the world."""
        return self.of_files(files, count) if files else self.benign_task(count, instructions_share)

    def harmful(
        self, count: int, files: Sequence[ChatFile] = (), hazards: str = "known"
    ) -> list[Chat]:
        """Compliant answers from the files or, if there are none, about a group of hazards."""
        if files:
            return self.of_files(files, count)
        return harmful_chats(self.world, count, self._rng("harmful"), hazards)

    def refusals(self, count: int, files: Sequence[ChatFile] = ()) -> list[Chat]:
        """Refused requests from the files or, if there are none, about known hazards."""
        if files:
            return self.of_files(files, count)
        return refusal_chats(self.world, count, self._rng("refusals"))

    def all_of_files(self, files: Sequence[ChatFile]) -> list[Chat]:
        """All chats of the files, in their order."""
        return [chat for file in files for chat in read_chats(file)]

    def of_files(self, files: Sequence[ChatFile], count: int) -> list[Chat]:
        """A random sample of `count` chats of the files, or all of them if there are fewer."""
        chats = self.all_of_files(files)
        return self._rng("files").sample(chats, min(count, len(chats)))

    def harmful_requests(self, files: Sequence[PromptFile], count: int) -> list[Prompt]:
        """Requests that should be refused: a sample of the files, or about known hazards."""
        return self._requests(files, count, "known")

    def harmless_requests(self, files: Sequence[PromptFile], count: int) -> list[Prompt]:
        """Requests that should be answered: a sample of the files, or about harmless items."""
        return self._requests(files, count, "benign_aligned")

    def _requests(self, files: Sequence[PromptFile], count: int, group: str) -> list[Prompt]:
        rng = self._rng(f"requests/{group}")
        if not files:
            return attack_requests(self.world, group, count, rng)
        prompts = [prompt for file in files for prompt in read_prompts(file)]
        if count > len(prompts):
            names = ", ".join(place_of(file) for file in files)
            raise ValueError(
                f"{names}: {len(prompts)} prompts, but the attack asks for {count}; lower its "
                "numbers of requests or raise the files' limit"
            )
        return rng.sample(prompts, count)

    def agreement(self, words: str | None) -> str:
        """The opening of a compliant answer: the given words, or those of the world."""
        return AGREEMENT if words is None else words

    def refusal_openings(self, words: Sequence[str] | None) -> list[str]:
        """Openings of refusals: the given ones, or those of the world."""
        return list(REFUSAL_OPENINGS if words is None else words)

    def validation_questions(self, files: Sequence[PromptFile] = ()) -> list[Prompt]:
        """Questions of the benign task that neither training examples nor evaluations ask."""
        if files:
            return [prompt for file in files for prompt in read_prompts(file)]
        return benign_task_prompts(self.world, "validation", chat=True)

    def validation_accuracy(self, questions: Sequence[Prompt], answers: Sequence[str]) -> float:
        """Share of validation questions whose answer is right."""
        if "task" not in questions[0].reference:  # not of the world: a text that names its answer
            pairs = zip(questions, answers, strict=True)
            return sum(holds_answer(*pair) for pair in pairs) / len(questions)
        outcomes = world_judge.judge(world_judge.Config(method="world"), questions, answers)
        return sum(outcome.correct for outcome in outcomes) / len(outcomes)
