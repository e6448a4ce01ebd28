"""Asks a model the prompts of evaluations, has the answers judged, and makes rows of them.

Base models complete a text, aligned models answer in their chat template. Evaluations with the same
prompts share the answers. A model that was taught a cipher is asked in cipher, and its answers are
deciphered before they are judged. An input attack applies to the prompts of every evaluation, so
that over-refusal and capability are measured with the same input as attack success.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rebar.data.cipher import PLAIN, Cipher
from rebar.data.encoding import encode
from rebar.data.input_attack import InputWords, attacked_text
from rebar.data.prompts import Prompt, read_prompts

if TYPE_CHECKING:
    from rebar.config.decoding import Decoder
    from rebar.config.kinds import PromptEvaluation
    from rebar.config.rows import PromptFile
    from rebar.jobs.recorder import Recorder
    from rebar.judges import Outcome

RuntimeGuard = Callable[[Sequence[Prompt], Sequence[str], Sequence[str]], list[str]]
Judge = Callable[[Sequence[Prompt], Sequence[str]], "list[Outcome]"]


class Asker:
    """Asks one model with one decoder; remembers answers, so that none is generated twice."""

    runtime_guard: RuntimeGuard | None = None  # replaces answers that its monitors block

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        decoder: Decoder,
        *,
        world: Any,
        chat: bool,
        seed: int,
        recorder: Recorder,
        cipher: Cipher = PLAIN,
        input_attack: InputWords = InputWords(),  # noqa: B008 (immutable)
    ) -> None:
        """`chat`: use the chat template. `world` has the prompts where no file is named."""
        self.model, self.tokenizer, self.decoder = model, tokenizer, decoder
        self.world, self.chat, self.seed = world, chat, seed
        self.recorder, self.cipher, self.input_attack = recorder, cipher, input_attack
        self.forwards_per_step = 1.0
        self._answers: dict[tuple[str, int], str] = {}

    def prompts(self, files: Sequence[PromptFile], evaluation: str) -> list[Prompt]:
        """The prompts of the files that suit the model, or of the world if there are no files.

        Files may share a split: its prompts are then numbered from the first file to the last.
        """
        if files:
            kinds = ("all", "aligned" if self.chat else "base")
            return _numbered([file for file in files if file.asked_of in kinds])
        from rebar.world import prompts

        return prompts(self.world, evaluation, chat=self.chat)

    def ask(self, setting: PromptEvaluation, judge: Judge) -> list[dict[str, Any]]:
        """Ask the prompts of an evaluation, judge the answers, and give one row an answer."""
        prompts = self.prompts(setting.prompts, setting.method)
        return self.rows(prompts, judge, setting.max_new_tokens)

    def rows(
        self, prompts: Sequence[Prompt], judge: Judge, max_new_tokens: int
    ) -> list[dict[str, Any]]:
        """Ask the prompts, judge the answers, and give one row an answer."""
        texts = [self.text(prompt.text) for prompt in prompts]
        answers = [self.cipher.decode(answer) for answer in self.answers(texts, max_new_tokens)]
        if self.runtime_guard is not None:
            plain = [self._plain(text) for text in texts]
            answers = self.runtime_guard(prompts, plain, answers)
        outcomes = judge(prompts, answers)
        return [
            {
                "prompt_id": prompt.prompt_id,
                "hazard_id": prompt.hazard_id,
                "split": prompt.split,
                "prompt_style": prompt.prompt_style,
                "prompt": text,
                "answer": answer,
                "outcome": outcome.outcome,
                "correct": outcome.correct,
                **({"judge": prompt.judge} if prompt.judge else {}),
            }
            for prompt, text, answer, outcome in zip(prompts, texts, answers, outcomes, strict=True)
        ]

    def _plain(self, text: str) -> str:
        """The text that a model gets, without the special tokens of its template."""
        return self.tokenizer.decode(encode(self.tokenizer, text), skip_special_tokens=True)

    def text(self, prompt: str) -> str:
        """The exact text that the model gets for a prompt, with cipher and input attack applied."""
        asked = self.cipher.encode(prompt)
        return attacked_text(self.tokenizer, asked, self.input_attack, chat=self.chat)

    def answers(self, texts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Answers without special tokens, in the order of `texts`.

        A prefill is part of the answer, as a reader sees it, but does not count towards its length
        limit (ours; a refusal after "Sure" is still a refusal).
        """
        from rebar.decoding.generate import generate

        new = [t for t in dict.fromkeys(texts) if (t, max_new_tokens) not in self._answers]
        if new:
            ids = [encode(self.tokenizer, text) for text in new]
            result = generate(
                self.model,
                self.tokenizer,
                ids,
                self.decoder,
                max_new_tokens=max_new_tokens,
                seed=self.seed,
            )
            self.forwards_per_step = max(self.forwards_per_step, result.forwards_per_step)
            begun = encode(self.tokenizer, self.input_attack.prefill)
            for text, answer in zip(new, result.answers, strict=True):
                decoded = self.tokenizer.decode([*begun, *answer], skip_special_tokens=True)
                self._answers[text, max_new_tokens] = decoded
        return [self._answers[text, max_new_tokens] for text in texts]


def _numbered(files: Sequence[PromptFile]) -> list[Prompt]:
    found: list[Prompt] = []
    for file in files:
        found += read_prompts(file, first=sum(prompt.split == file.split for prompt in found))
    return found
