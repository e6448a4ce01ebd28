"""Typed settings of models: architecture, training, fine-tuning, what an alignment reads."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from rebar.config.base import Count, Positive, Settings, Share
from rebar.config.rows import ChatFile, PairFile
from rebar.config.world import AlignmentChats


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
    """A run of `number` epochs, as papers describe one; its constant schedule is our choice."""
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
        """True if the chats come from files, False if they come from the world."""
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
