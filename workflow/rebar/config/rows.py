"""Typed settings of rows of a file: chats, pairs, prompt sets, labelled answers, tasks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from rebar.config.base import Count, HubDataset, Name, Positive, Settings


class RowFile(Settings):
    """Rows of a file, or of a dataset of the Hub."""

    path: str | None = Field(default=None, description="file; `package:NAME/inside` works")
    hub: HubDataset | None = Field(default=None, description="a dataset, instead of path")
    where: dict[str, str | int | bool] = Field(
        default={}, description="rows that are taken: the value of each of these columns"
    )
    rows: tuple[Count, Positive] | None = Field(
        default=None, description="of those, the ones from the first number up to the second"
    )

    @model_validator(mode="after")
    def _one_place(self) -> RowFile:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give path: or hub:, one of them")
        if self.rows and self.rows[0] >= self.rows[1]:
            raise ValueError(f"rows: {self.rows[0]} to {self.rows[1]} are none")
        return self


class ChatFile(RowFile):
    """Questions and answers, a row each."""

    prompt: str = Field(default="prompt", description="key of the question")
    answer: str = Field(default="answer", description="key of the answer")
    answer_template: str | None = Field(
        default=None,
        description="how answers read, instead of answer: `{prompt}` and columns in braces",
    )
    turns: str | None = Field(
        default=None,
        description="key of a list of turns with role and content, instead of prompt and answer: "
        "the first question and its answer are taken",
    )
    limit: Positive | None = Field(default=None, description="rows to take at most")

    @model_validator(mode="after")
    def _one_answer(self) -> ChatFile:
        if self.answer_template is not None and self.turns:
            raise ValueError("give answer_template: or turns:, one of them")
        return self

    @property
    def more_columns(self) -> tuple[str, ...]:
        """Columns of the template, beside that of the prompt."""
        fields = template_fields(self.answer_template or "")
        return tuple(name for name in fields if name != "prompt")


class PairFile(RowFile):
    """Questions with an answer to prefer and one to avoid, a row each: texts or lists of turns."""

    prompt: str = Field(default="prompt", description="key of the question")
    chosen: str = Field(default="chosen", description="key of the answer to prefer")
    rejected: str = Field(default="rejected", description="key of the answer to avoid")
    limit: Positive | None = Field(default=None, description="rows to take at most")


class PromptFile(RowFile):
    """A prompt set: one prompt a line, row or list entry."""

    text: str = Field(default="prompt", description="column or key of the prompt")
    template: str = Field(
        default="{prompt}",
        description="how it is asked: `{prompt}`, and any other column in braces",
    )
    split: Name = Field(description="the rows' split, such as the benchmark's name")
    answer: str | None = Field(
        default=None, description="column or key of the right answer, if any"
    )
    answer_after: str | None = Field(
        default=None, description="the right answer is what follows this mark in that column"
    )
    options: str | list[str] | None = Field(
        default=None,
        description="column of a list of options, or a column for each; the right answer is then "
        "an option's text, its number from 0 or its letter",
    )
    asked_of: Literal["all", "base", "aligned"] = Field(
        default="all", description="models that get these prompts: openings are for base models"
    )
    judge: Name | None = Field(
        default=None, description="judge of these prompts instead of the evaluation's"
    )
    licence: str | None = Field(default=None, description="a note for readers: whose, which terms")
    limit: Positive | None = Field(
        default=None, description="prompts to take at most, evenly spread"
    )

    @property
    def more_columns(self) -> tuple[str, ...]:
        """Columns of the template and the options, beside those of text and answer."""
        options = [self.options] if isinstance(self.options, str) else self.options or []
        fields = [name for name in template_fields(self.template) if name != "prompt"]
        return (*options, *fields)

    @model_validator(mode="after")
    def _asks_the_prompt(self) -> PromptFile:
        if "prompt" not in template_fields(self.template):
            raise ValueError(f"template: '{self.template}' lacks {{prompt}}, the text of the row")
        return self


TEMPLATE_FIELD = re.compile(r"\{(\w+)\}")


def template_fields(template: str) -> list[str]:
    """Names that stand in braces; any other brace is text."""
    return TEMPLATE_FIELD.findall(template)


def fill_template(template: str, value_of: Callable[[str], object]) -> str:
    """Fill the fields of the template; braces inside the values stay text."""
    return TEMPLATE_FIELD.sub(lambda match: str(value_of(match[1])), template)


class HarnessTask(Settings):
    """A task of lm-evaluation-harness."""

    task: str = Field(description="its name there, or in a file of include_path")
    num_fewshot: Count | None = Field(
        default=None, description="solved examples before a question; none: the task's own number"
    )
    metric: str | None = Field(
        default=None, description="the task's metric that counts; none: its first"
    )
    licence: str | None = Field(default=None, description="a note for readers: whose, which terms")


Verdict = Literal["complied", "refused", "other", "not_complied", "not_refused"]


class LabelledFile(RowFile):
    """Answers with human labels: a judge is trained on them, or compared with them."""

    prompt: str = Field(default="prompt", description="column or key of the prompt")
    answer: str = Field(default="answer", description="column or key of the answer")
    label: str = Field(default="label", description="column or key of the human label")
    labels: dict[str, Verdict] = Field(
        default={"complied": "complied", "refused": "refused", "other": "other"},
        description="what each value of that column says (numbers in quotes); rows with other "
        "values are left out. `not_refused` and `not_complied`: the people answered yes or no, and "
        "so does then the judge",
    )

    @model_validator(mode="after")
    def _one_question(self) -> LabelledFile:
        said = set(self.labels.values())
        if {"not_complied", "not_refused"} <= said or not said:
            raise ValueError("labels: answer one question, complied or refused, or name outcomes")
        return self
