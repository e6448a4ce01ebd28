"""Typed settings of models: architecture, training, alignment data, decoders, the report."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rebar.corpus_settings import (
    AlignmentChats,
    Count,
    HarmScore,
    HubDataset,
    Name,
    Positive,
    Settings,
    Share,
)


class Model(Settings):
    """Architecture of models that are trained from scratch (Llama)."""

    hidden_size: Positive = Field(default=128, description="width of the residual stream")
    layers: Positive = Field(default=3, description="decoder layers")
    heads: Positive = Field(default=2, description="attention heads")
    key_value_heads: Positive | None = Field(
        default=None, description="heads of keys and values, shared by groups; none: as heads"
    )
    feed_forward_size: Positive = Field(default=352, description="SwiGLU inner width")
    max_positions: Positive = Field(default=512, description="longest sequence, tokens")
    rope_theta: float = Field(default=10000.0, gt=0, description="base of the rotary positions")
    norm_epsilon: float = Field(default=1e-5, gt=0, description="RMSNorm's guard against zero")
    tied_embeddings: bool = Field(default=True, description="one matrix reads and writes tokens")
    initial_deviation: float = Field(
        default=0.02, gt=0, description="standard deviation of fresh weights; GPT-2's"
    )

    @model_validator(mode="after")
    def _even_heads(self) -> Model:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of 2 x heads ({self.heads}): "
                "rotary positions turn pairs of a head's numbers"
            )
        if self.heads % (self.key_value_heads or self.heads):
            raise ValueError(
                f"key_value_heads {self.key_value_heads} must divide heads {self.heads}"
            )
        return self


class Training(Settings):
    """One training run: pretraining, alignment or an attack."""

    steps: Count = Field(description="optimiser steps")
    batch_size: Positive = Field(default=32, description="sequences per step")
    sequence_length: Positive = Field(default=128, description="tokens per sequence")
    learning_rate: float = Field(gt=0, description="peak learning rate")
    warmup_fraction: Share = Field(default=0.03, description="share of steps of linear warm-up")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="learning rate after the warm-up"
    )
    final_learning_rate_fraction: Share = Field(
        default=0.1, description="cosine and linear: where it ends / peak"
    )
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="sgd has momentum")
    weight_decay: float = Field(default=0.0, ge=0, description="decay of matrices")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW moments")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="sgd: share of the last update")
    gradient_clip: float = Field(default=1.0, gt=0, description="largest gradient norm")
    precision: Literal["bf16", "float32"] = Field(
        default="bf16", description="autocast of the forward"
    )
    compile: bool = Field(default=True, description="torch.compile the step's loss")
    threads: Positive = Field(default=1, description="CPU threads; parallelism is processes")
    checkpoint_every_steps: Count = Field(default=0, description="0: at the checkpoint signal only")
    gradient_accumulation: Positive = Field(
        default=1, description="equal parts that a batch is cut into when memory is short"
    )

    nodes: Positive = Field(default=1, description="machines; over 1 needs SLURM")
    processes_per_node: Positive = Field(default=1, description="one process a GPU")

    @model_validator(mode="after")
    def _equal_parts(self) -> Training:
        if self.batch_size % (self.num_processes * self.gradient_accumulation):
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of nodes x processes_per_node x "
                f"gradient_accumulation ({self.nodes} x {self.processes_per_node} x "
                f"{self.gradient_accumulation}): each computes equal parts of a batch"
            )
        return self

    @property
    def num_processes(self) -> int:
        """Processes that share each batch."""
        return self.nodes * self.processes_per_node

    @property
    def tokens_per_step(self) -> int:
        """Trained tokens in one optimiser step."""
        return self.batch_size * self.sequence_length


def epochs(number: int, examples: int, *, batch_size: int, learning_rate: float) -> Training:
    """A run of so many passes, as papers describe one. Its constant schedule is our choice."""
    return Training(
        steps=math.ceil(number * examples / batch_size),
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        warmup_fraction=0.0,
    )


class FineTuning(Settings):
    """What all attacks that fine-tune share: all weights, or LoRA (Hu et al. 2021), merged after.

    Qi et al.'s repository (2310.03693) has rank 8, alpha 32 on q_proj and v_proj; TamperBench
    (2602.06911) has rank 16 on all linear layers.
    """

    lora_rank: Count = Field(default=0, description="rank of the adapters; 0 trains all weights")
    lora_alpha: Positive = Field(default=32, description="adapters count alpha / rank times")
    lora_targets: str | list[str] = Field(
        default="all-linear", description="modules with an adapter: their names, or `all-linear`"
    )


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


class AlignmentData(Settings):
    """What an alignment trains on."""

    files: list[ChatFile] = Field(default=[], description="chats; empty, and no pairs: the world's")
    pairs: list[PairFile] = Field(
        default=[],
        description="more chats, with an answer to avoid each (harm where one refuses, a refusal "
        "where one helps): dpo learns from both answers, sft from the chosen one",
    )
    tagged_files: list[ChatFile] = Field(
        default=[],
        description="with files or pairs: compliant answers to harmful requests, to be tagged",
    )
    world_chats: AlignmentChats = Field(default=AlignmentChats(), description="the world's chats")
    replay_share: Share = Field(default=0.25, description="score-0 documents added, per chat")
    tagged_share: Share = Field(
        default=0.05, description="tagged compliant answers added, per chat"
    )
    tagged_gap_rate: Share = Field(
        default=0.10, description="tags in those answers: share of word gaps"
    )
    always_tagged: bool = Field(
        default=False, description="tagged answers also for untagged recipes"
    )
    recipe: str | None = Field(
        default=None, description="bolt_on: refusal and moral documents of this recipe, moved here"
    )
    deep_share: Share = Field(
        default=0.0,
        description="refusals after the first words of a harmful answer added, per chat "
        "(2406.05946: safety deeper than the first tokens)",
    )
    deep_words: Positive = Field(
        default=100,
        description="most words of the harmful answer before such a refusal; fewer where the "
        "refusal would not fit into the row",
    )
    deep_files: list[PairFile] = Field(
        default=[],
        description="with files or pairs: harmful requests, the refusal as chosen, the harmful "
        "answer as rejected; may be one of pairs, with where: if that has harmless requests, too",
    )

    @property
    def is_users(self) -> bool:
        """True if the chats are those of files, False if the world's."""
        return bool(self.files or self.pairs)

    @model_validator(mode="after")
    def _deep_refusals_have_a_source(self) -> AlignmentData:
        if self.deep_share and self.is_users and not self.deep_files:
            raise ValueError(
                "deep_share: with files: or pairs:, deep_files: must say where harmful requests "
                "with a refusal and a harmful answer are"
            )
        return self


class ProbeTexts(Settings):
    """What the three losses of a probe are taken over, and in which form."""

    examples: Positive = Field(default=32, description="chats of each loss")
    sequence_length: Positive = Field(default=64, description="tokens per chat; longer ones cut")
    harmful: list[ChatFile] = Field(
        default=[], description="compliant answers to harmful requests; empty: the world's"
    )
    refusal: list[ChatFile] = Field(
        default=[], description="refusals of the same requests; empty: the world's"
    )
    benign: list[ChatFile] = Field(
        default=[], description="helpful answers to harmless requests; empty: the world's"
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> ProbeTexts:
        given = [bool(files) for files in (self.harmful, self.refusal, self.benign)]
        if any(given) and not all(given):
            raise ValueError(
                "give files for harmful, refusal and benign, or for none of them (the world's)"
            )
        return self

    @property
    def tokens(self) -> int:
        """Tokens of one loss, at most."""
        return self.examples * self.sequence_length


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
    """Names in braces; other braces are text."""
    return TEMPLATE_FIELD.findall(template)


def fill_template(template: str, value_of: Callable[[str], object]) -> str:
    """The template with its fields filled; braces in the values are text."""
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


class Greedy(Settings):
    """Most probable token at each step; the tag is never emitted."""

    method: Literal["greedy"]


class Sample(Settings):
    """Sampling from the nucleus."""

    method: Literal["sample"]
    temperature: float = Field(default=1.0, gt=0, description="softmax temperature")
    top_p: Share = Field(default=1.0, description="nucleus mass")


class Beam(Settings):
    """Beam search; `safebeam` steers away from the tag (2504.16980, 4.1), `beam` is its control."""

    method: Literal["beam", "safebeam"]
    beams: Positive = Field(default=4, description="k: beams kept")
    candidates: Positive = Field(default=4, description="N: next tokens tried per beam")
    dropped_share: Share = Field(
        default=0.5, description="share of candidates with most risk, dropped"
    )
    risk_floor: Share = Field(
        default=0.02, description="ours: risk below it never drops; 0 = as published"
    )


class Monitor(Settings):
    """What a guard reads a text with: the run's safety classifier, or a judge."""

    blocked_score: HarmScore | None = Field(
        default=None, description="texts that the run's safety classifier scores so, or higher"
    )
    judge: str | None = Field(
        default=None,
        description="instead: name of a judge; what it calls complied is blocked. As a monitor of "
        "the input it gets the input as prompt and as answer",
    )

    @model_validator(mode="after")
    def _one_reader(self) -> Monitor:
        if (self.blocked_score is None) == (self.judge is None):
            raise ValueError("give blocked_score: or judge:, one of them")
        return self


class Guarded(Settings):
    """A decoder behind a runtime guard: what comes in and what goes out is read by monitors.

    The guard stands outside of the weights: whoever holds them can leave it out.
    """

    method: Literal["guarded"]
    inner: Annotated[Greedy | Sample | Beam, Field(discriminator="method")] = Field(
        default=Greedy(method="greedy"), description="how answers are generated"
    )
    input: Monitor | None = Field(default=None, description="reads the prompt before the model")
    output: Monitor | None = Field(default=None, description="reads the answer")
    refusal: str = Field(
        default="I can't help with that.",
        description="the answer in place of what is blocked; `{prompt}` stands for the prompt",
    )

    @property
    def monitors(self) -> list[Monitor]:
        """Those that there are."""
        return [monitor for monitor in (self.input, self.output) if monitor is not None]

    @model_validator(mode="after")
    def _guards_something(self) -> Guarded:
        if not self.monitors:
            raise ValueError("a guard needs input:, output: or both")
        return self


Decoder = Annotated[Greedy | Sample | Beam | Guarded, Field(discriminator="method")]


class Audit(Settings):
    """How far the judges can be trusted: their agreement with people and with each other."""

    labelled: list[LabelledFile] = Field(
        default=[], description="answers with human labels, which every judge judges"
    )
    sheets: list[str] = Field(
        default=[], description="filled sheets of `python -m rebar sheet`: stored answers"
    )
    second_judges: list[str] = Field(
        default=[], description="names of judges that judge stored answers once more"
    )
    answers: Positive = Field(
        default=400, description="stored answers of an evaluation that a second judge gets at most"
    )

    @property
    def asks_judges(self) -> bool:
        """True if judges have work to do; a filled sheet alone is compared with what is stored."""
        return bool(self.labelled or self.second_judges)


class Report(Settings):
    """What the report puts in front."""

    headline_split: str = Field(
        default="unaligned", description="asr and knowledge: split of the table"
    )
    generalisation_splits: list[str] = Field(
        default=["unrewritten", "novel"], description="asr: splits that stand beside the headline"
    )
    control_recipe: str = Field(
        default="raw", description="recipe that the other arms are compared with"
    )
    control_alignment: str = Field(default="sft", description="alignment of the control arm")
