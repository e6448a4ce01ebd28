"""Knowledge without generation: which of given options has the highest log-probability?

Two forms, as in Deep Ignorance (O'Brien et al., arXiv 2508.06601, 4.3): `letters` shows the options
and compares the letters' log-probabilities (WMDP, MMLU); `cloze` shows none and compares the
options' own, a token (length-normalised), so that nothing can be guessed from the options' form. A
model that refuses to answer is measured too. Chance, one over the number of options, stands beside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.benchmarks import PromptSet
from rebar.config.kinds import Evaluation
from rebar.config.rows import PromptFile

if TYPE_CHECKING:
    from rebar.data.prompts import Prompt
    from rebar.evaluations._asker import Asker


class Config(Evaluation):
    """Settings of `multiple_choice`."""

    metrics: ClassVar[tuple[str, ...]] = ("correct_facts", "chance")
    scores_options: ClassVar[bool] = True

    method: Literal["multiple_choice"]
    form: Literal["letters", "cloze"] = Field(
        default="cloze", description="show the options and compare letters, or compare the options"
    )
    prompts: list[PromptSet] = Field(
        default=[],
        description="sets with options and answer; empty: recipes of the world's hazards (cloze)",
    )

    @property
    def prompt_sets(self) -> list[PromptFile]:
        """What `prompts` names."""
        return self.prompts


def evaluate(config: Config, asker: Asker) -> list[dict[str, Any]]:
    """One row a question: the option that the model prefers."""
    from rebar.evaluations._options import choice_row, option_scores

    prompts = _questions(config, asker)
    lettered = config.form == "letters"
    shown = [_with_letters(p) if lettered else p for p in prompts]
    scored = [_letters(p) if lettered else p.options for p in prompts]
    texts = [asker.text(prompt.text) for prompt in shown]
    rows = []
    for prompt, scores in zip(shown, option_scores(asker, texts, scored), strict=True):
        best = max(range(len(scores)), key=lambda i: scores[i].mean)
        chosen = prompt.options[best]
        outcome = "complied" if chosen == prompt.reference["answer"] else "other"
        rows.append(choice_row(asker, prompt, chosen, outcome))
    return rows


def _questions(config: Config, asker: Asker) -> list[Prompt]:
    if not config.prompts and config.form == "letters":
        raise ValueError(
            "multiple_choice: the world's texts know no letters; set form: cloze, or give prompts:"
        )
    prompts = asker.prompts(config.prompts, "multiple_choice")
    for prompt in prompts:
        if not prompt.options or "answer" not in prompt.reference:
            raise ValueError(
                f"multiple_choice: the prompts of split '{prompt.split}' have no options or no "
                "right answer; set options: and answer: of its prompt set"
            )
    return prompts


def _letters(prompt: Prompt) -> tuple[str, ...]:
    from rebar.data.prompts import LETTERS

    return tuple(LETTERS[: len(prompt.options)])


def _with_letters(prompt: Prompt) -> Prompt:
    """The question as MMLU's own code shows it."""
    options = zip(_letters(prompt), prompt.options, strict=True)
    lines = [prompt.text, *(f"{letter}. {option}" for letter, option in options), "Answer:"]
    return replace(prompt, text="\n".join(lines))
