"""What attacks train on: the benign task, benign instructions, compliant harmful answers.

Of the world, or of files that the attack names.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rebar.corpus.chats import Chat, read_chats
from rebar.corpus.prompts import Prompt, holds_answer, read_prompts
from rebar.corpus.world import (
    World,
    benign_task_chats,
    benign_task_prompts,
    build_world,
    general_chats,
    harmful_chats,
    refusal_chats,
)
from rebar.corpus_settings import World as WorldSettings
from rebar.judges import world as world_judge
from rebar.model_settings import ChatFile, PromptFile


@dataclass(frozen=True)
class AttackData:
    """Examples of one world or of files; every list is a function of the seed and its size."""

    settings: WorldSettings
    seed: int
    folder: Path | None = None  # the output folder that is being written

    @cached_property
    def world(self) -> World:
        """The world of the seed."""
        return build_world(self.settings, self.seed)

    def _rng(self, label: str) -> random.Random:
        return random.Random(f"{self.seed}/attack/{label}")

    def benign_task(self, count: int, instructions_share: float) -> list[Chat]:
        """Questions and answers of the benign task, a share of them replaced by instructions."""
        num_instructions = round(count * instructions_share)
        rng = self._rng("benign")
        chats = benign_task_chats(self.world, count - num_instructions, rng)
        chats += general_chats(self.world, num_instructions, rng)
        rng.shuffle(chats)
        return chats

    def benign(
        self, count: int, files: Sequence[ChatFile] = (), instructions_share: float = 0.0
    ) -> list[Chat]:
        """Benign examples of the files or, where there are none, of the world."""
        return self.of_files(files, count) if files else self.benign_task(count, instructions_share)

    def harmful(self, count: int, files: Sequence[ChatFile] = ()) -> list[Chat]:
        """Compliant answers of the files, or about known hazards."""
        if files:
            return self.of_files(files, count)
        return harmful_chats(self.world, count, self._rng("harmful"))

    def refusals(self, count: int, files: Sequence[ChatFile] = ()) -> list[Chat]:
        """Refused requests of the files, or about known hazards."""
        if files:
            return self.of_files(files, count)
        return refusal_chats(self.world, count, self._rng("refusals"))

    def of_files(self, files: Sequence[ChatFile], count: int) -> list[Chat]:
        """`count` chats of the files at random, or all of them, in random order."""
        chats = [chat for file in files for chat in read_chats(file)]
        return self._rng("files").sample(chats, min(count, len(chats)))

    def validation_questions(self, files: Sequence[PromptFile] = ()) -> list[Prompt]:
        """Questions of the benign task that no training example and no evaluation asks."""
        if files:
            return [prompt for file in files for prompt in read_prompts(file)]
        return benign_task_prompts(self.world, "validation", chat=True)

    def validation_accuracy(self, questions: Sequence[Prompt], answers: Sequence[str]) -> float:
        """Share of validation questions answered right."""
        if "task" not in questions[0].reference:  # not of the world: a text that names its answer
            pairs = zip(questions, answers, strict=True)
            return sum(holds_answer(*pair) for pair in pairs) / len(questions)
        outcomes = world_judge.judge(world_judge.Config(method="world"), questions, answers)
        return sum(outcome.correct for outcome in outcomes) / len(outcomes)
