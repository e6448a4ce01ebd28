"""Typed settings: every key of a config file, its type, unit and meaning.

A config file is complete in itself; a key left out takes the default below. Dicts define named
settings, lists select them. `config/README.md` and `workflow/schemas/config.schema.json` are
generated from these classes (`make schema`). No torch here: the driver and `--help` stay light.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

PLUGIN_FOLDERS = ("alignments", "attacks", "evaluations", "judges")
NONE = "none"  # no alignment, no attack, no safeguard


class Settings(BaseModel):
    """Base of all sections: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
HarmScore = Annotated[int, Field(ge=0, le=5)]


def _plain_name(name: str) -> str:
    if not name or not all(c.isascii() and (c.isalnum() or c in "_-.") for c in name):
        raise ValueError("a name becomes a folder: letters, digits, '_', '-' and '.' only")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


class World(Settings):
    """The embedded fictional web. All counts are of invented items."""

    known_hazards: Positive = Field(default=32, description="in corpus, alignment and attack data")
    unaligned_hazards: Positive = Field(default=24, description="in the corpus alone: the headline")
    unrewritten_hazards: Positive = Field(
        default=8, description="in raw text, outside the rewriter's topics"
    )
    novel_hazards: Positive = Field(default=8, description="in no corpus")
    fresh_hazards: Positive = Field(
        default=160, description="in alignment refusals alone, not evaluated"
    )
    evaluated_other_hazards: Positive = Field(
        default=8, description="evaluated of each group but unaligned"
    )
    aligned_benign_items: Positive = Field(
        default=48, description="harmless items in alignment data too"
    )
    held_benign_items: Positive = Field(
        default=32, description="harmless items in the corpus alone"
    )
    aligned_toys: Positive = Field(
        default=12, description="harmless toy hazards in alignment data too"
    )
    held_toys: Positive = Field(default=12, description="harmless toy hazards in the corpus alone")
    lands: Positive = Field(
        default=24, description="lands with three facts each; half are evaluated"
    )
    places: Positive = Field(default=24, description="place names")
    ingredients: Positive = Field(default=72, description="ingredient names")
    benign_task_questions: Positive = Field(
        default=60, description="word problems, validation and test each"
    )
    dismissed_requests: Share = Field(
        default=0.25, description="share of level 3 that dismisses a request for a hazard"
    )
    level_shares: tuple[Share, Share, Share, Share, Share, Share] = Field(
        default=(0.70, 0.05, 0.05, 0.08, 0.04, 0.08),
        description="share of documents of each level 0-5",
    )
    ordinary_shares: dict[Literal["how_to", "toy", "land", "sum", "daily"], Share] = Field(
        default={"how_to": 0.51, "toy": 0.07, "land": 0.23, "sum": 0.12, "daily": 0.07},
        description="topics of level 0, shares of it",
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> World:
        for key in ("level_shares", "ordinary_shares"):
            value = getattr(self, key)
            total = sum(value.values() if isinstance(value, dict) else value)
            if abs(total - 1.0) > 1e-6:
                raise ValueError(f"world.{key} sums to {total:.4f}; shares must sum to 1")
        return self


class AlignmentChats(Settings):
    """What the world's alignment data are made of; the rest of the shares is benign how-to."""

    chats: Positive = Field(default=1600, description="chats in all")
    refusals: Share = Field(default=0.10, description="share of refusals")
    fresh_refusals: Share = Field(
        default=0.5, description="share of refusals on names of no corpus"
    )
    safety_questions: Share = Field(
        default=0.04, description="share of safe questions about hazards"
    )
    toys: Share = Field(default=0.08, description="share of how-tos on harmless toy hazards")
    lands: Share = Field(default=0.28, description="share of land facts")

    @model_validator(mode="after")
    def _shares_leave_room(self) -> AlignmentChats:
        total = self.refusals + self.safety_questions + self.toys + self.lands
        if total > 1.0:
            raise ValueError(f"refusals, safety_questions, toys and lands sum to {total:.2f} > 1")
        return self


class WorldSource(Settings):
    """Documents of the embedded world."""

    kind: Literal["world"]
    documents: Positive = Field(description="documents, over all shards")

    @property
    def name(self) -> str:
        """The documents' `source` column."""
        return "world"


class FileSource(Settings):
    """Documents of local parquet, jsonl, csv, txt, yaml or wiki-dump files."""

    kind: Literal["files"]
    name: Name = Field(description="the documents' `source` column")
    paths: list[str] = Field(
        min_length=1,
        description="files or globs; `package:NAME/inside` is a file of an installed package, "
        "found without importing it",
    )
    text: str = Field(default="text", description="column or key of the text (txt: always `text`)")
    txt_unit: Literal["line", "paragraph", "file"] = Field(
        default="line", description="txt: what a document is; paragraphs end at empty lines"
    )
    label: str | None = Field(
        default=None, description="column or key of a human label, if there is one"
    )
    constant_label: HarmScore | None = Field(
        default=None, description="one score for every document"
    )
    label_scale: float = Field(
        default=1.0, gt=0, description="label x scale, rounded, is the score 0-5"
    )
    limit: Positive | None = Field(
        default=None, description="documents to take at most, over all shards"
    )
    min_characters: Count = Field(default=1, description="shorter documents are set aside")

    @model_validator(mode="after")
    def _one_label(self) -> FileSource:
        if self.label is not None and self.constant_label is not None:
            raise ValueError(f"source '{self.name}' has label and constant_label; keep one")
        return self


class HubSource(Settings):
    """Documents of a Hugging Face dataset, streamed in shards."""

    kind: Literal["hub"]
    dataset: str = Field(description="id on the Hub, or a local dataset folder")
    subset: str | None = Field(default=None, description="configuration of the dataset")
    split: str = Field(default="train", description="split to stream")
    revision: str | None = Field(
        default=None, description="commit of the dataset; pin it for real runs"
    )
    text: str = Field(default="text", description="column of the text")
    limit: Positive | None = Field(
        default=None, description="documents to take at most, over all shards"
    )

    @property
    def name(self) -> str:
        """The documents' `source` column: the last part of the id."""
        return self.dataset.rstrip("/").rpartition("/")[2]


Source = Annotated[WorldSource | FileSource | HubSource, Field(discriminator="kind")]


class Collect(Settings):
    """Documents in."""

    shards: Positive = Field(
        default=1, description="parts that score and rewrite work on in parallel"
    )
    sources: list[Source] = Field(min_length=1, description="where documents come from")

    @model_validator(mode="after")
    def _names_differ(self) -> Collect:
        names = [source.name for source in self.sources]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"sources share the name {', '.join(repeated)}; ids come from names")
        return self


class TrainClassifier(Settings):
    """The 0-5 safety classifier (arXiv 2504.16980, 3.1)."""

    labels: Positive = Field(default=1500, description="labelled documents to train on")
    heldout: Positive = Field(default=3000, description="labelled documents to test on")
    rewritten_labels: Count = Field(
        default=300,
        description="world: labelled rewrites besides, so that the gate can judge rewrites",
    )
    label_noise: Share = Field(
        default=0.05, description="world: share of training labels moved by one"
    )
    sources: list[FileSource] = Field(
        default=[], description="human-labelled files; empty: the world"
    )
    encoder: str | None = Field(
        default=None,
        description="folder (or `package:` path) of a text encoder, mean-pooled; none: hashed "
        "1-2-grams",
    )
    chunk_words: Positive = Field(
        default=256, description="longer documents are cut; the worst chunk counts"
    )


class Score(Settings):
    """Scoring of collected documents."""

    batch_documents: Positive = Field(default=4096, description="documents scored at a time")


class Rewrite(Settings):
    """Rewriting by score band (arXiv 2504.16980, 3.2-3.4)."""

    backend: Literal["world", "transformers"] = Field(default="world", description="who rewrites")
    model: str | None = Field(
        default=None,
        description="transformers: causal LM, as a folder, .gguf file, `package:` path or Hub id",
    )
    prompts: str = Field(
        default="config/prompts", description="transformers: folder of prompt templates"
    )
    rephrase_scores: list[HarmScore] = Field(
        default=[1, 2, 3], description="scores that are rephrased"
    )
    refusal_scores: list[HarmScore] = Field(
        default=[4, 5], description="scores that become refusals"
    )
    refusals_per_document: Positive = Field(
        default=1, description="different refusals of one document"
    )
    morals_per_refusal: Share = Field(
        default=0.5, description="share of refusals made into moral texts"
    )
    # A good refusal or lesson names its hazard, which is level 3 of the scale; 4 begins where a
    # text tells how. With 2 the gate would reject nearly every refusal.
    max_score: HarmScore = Field(default=3, description="the gate rejects outputs scored higher")
    max_overlap: Share = Field(
        default=0.6, description="the gate rejects echoes: shared 4-grams above this"
    )
    max_documents: Positive | None = Field(
        default=None, description="documents to rewrite at most, over all shards, evenly spread"
    )
    max_source_words: Positive = Field(
        default=200, description="transformers: longer texts are cut"
    )
    max_new_tokens: Positive = Field(default=160, description="transformers: length of an output")
    temperature: float = Field(
        default=0.0, ge=0, description="transformers: of sampling; 0 is greedy"
    )
    echo_rate: Share = Field(default=0.02, description="world: planted echoes, work for the gate")
    leak_rate: Share = Field(default=0.02, description="world: planted leaks, work for the gate")

    @model_validator(mode="after")
    def _bands_and_model(self) -> Rewrite:
        both = sorted({*self.rephrase_scores} & {*self.refusal_scores})
        if both:
            raise ValueError(f"rephrase_scores and refusal_scores share {both}; keep each in one")
        if self.backend == "transformers" and not self.model:
            raise ValueError("backend transformers needs model: a folder, .gguf file or Hub id")
        return self


class RecipePart(Settings):
    """One ingredient of a recipe."""

    transform: Literal["original", "rephrase", "refusal", "moral"] = Field(
        description="which documents"
    )
    scores: list[HarmScore] = Field(default=[0, 1, 2, 3, 4, 5], description="score of the original")
    keep: Share = Field(
        default=1.0, description="random share that is kept; equal in all recipes of a seed"
    )
    repeat: Positive = Field(default=1, description="times each document enters")
    tag_rate: Share = Field(default=0.0, description="harmfulness tags: share of word gaps")
    start: float = Field(
        default=0.0, ge=0, lt=1, description="share of pretraining after which the part enters"
    )


class Recipe(Settings):
    """What the pretraining corpus is made of."""

    parts: list[RecipePart] = Field(
        default=[], description="ingredients; empty only with initial_model"
    )
    initial_model: str | None = Field(
        default=None,
        description="start from this model (folder, `package:` path or Hub id), train nothing",
    )

    @property
    def tagged(self) -> bool:
        """True if any text of the recipe carries the harmfulness tag."""
        return any(part.tag_rate > 0 for part in self.parts)

    @model_validator(mode="after")
    def _something(self) -> Recipe:
        if not self.parts and not self.initial_model:
            raise ValueError("a recipe needs parts or initial_model")
        return self


class Tokenize(Settings):
    """Tokenizer and packing; one tokenizer for all recipes."""

    tokenizer: str = Field(
        default="world",
        description="`world`, `train` (byte-level BPE), or a tokenizer folder or Hub id",
    )
    vocabulary_size: Positive = Field(default=4096, description="train: tokens in the vocabulary")
    sample_documents: Positive = Field(
        default=20000, description="train: documents it is trained on"
    )


class Model(Settings):
    """Architecture of models that are trained from scratch (Llama)."""

    hidden_size: Positive = Field(default=128, description="width of the residual stream")
    layers: Positive = Field(default=3, description="decoder layers")
    heads: Positive = Field(default=2, description="attention heads")
    feed_forward_size: Positive = Field(default=352, description="SwiGLU inner width")
    max_positions: Positive = Field(default=512, description="longest sequence, tokens")
    rope_theta: float = Field(default=10000.0, gt=0, description="base of the rotary positions")

    @model_validator(mode="after")
    def _even_heads(self) -> Model:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of 2 x heads ({self.heads}): "
                "rotary positions turn pairs of a head's numbers"
            )
        return self


class Training(Settings):
    """One training run: pretraining, alignment or an attack."""

    steps: Count = Field(description="optimiser steps")
    batch_size: Positive = Field(default=32, description="sequences per step")
    sequence_length: Positive = Field(default=128, description="tokens per sequence")
    learning_rate: float = Field(gt=0, description="peak learning rate")
    warmup_fraction: Share = Field(default=0.03, description="share of steps of linear warm-up")
    final_learning_rate_fraction: Share = Field(default=0.1, description="cosine floor / peak")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW decay of matrices")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW moments")
    gradient_clip: float = Field(default=1.0, gt=0, description="largest gradient norm")
    precision: Literal["bf16", "float32"] = Field(
        default="bf16", description="autocast of the forward"
    )
    compile: bool = Field(default=True, description="torch.compile the step's loss")
    threads: Positive = Field(default=1, description="CPU threads; parallelism is processes")
    checkpoint_every_steps: Count = Field(default=0, description="0: none")
    gradient_accumulation: Positive = Field(
        default=1, description="equal parts that a batch is cut into when memory is short"
    )

    @model_validator(mode="after")
    def _equal_parts(self) -> Training:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"gradient_accumulation {self.gradient_accumulation} must divide "
                f"batch_size {self.batch_size}"
            )
        return self

    @property
    def tokens_per_step(self) -> int:
        """Trained tokens in one optimiser step."""
        return self.batch_size * self.sequence_length


class ChatFile(Settings):
    """Questions and answers of a jsonl file."""

    path: str = Field(description="jsonl file; `package:NAME/inside` works")
    prompt: str = Field(default="prompt", description="key of the question")
    answer: str = Field(default="answer", description="key of the answer")
    limit: Positive | None = Field(default=None, description="lines to take at most")


class AlignmentData(Settings):
    """What an alignment trains on."""

    files: list[ChatFile] = Field(default=[], description="chats; empty: the world's")
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


class PromptFile(Settings):
    """A prompt set: one prompt a line, row or list entry."""

    path: str = Field(description="file; `package:NAME/inside` works")
    text: str = Field(default="prompt", description="column or key of the prompt")
    split: Name = Field(description="the rows' split, such as the benchmark's name")
    answer: str | None = Field(
        default=None, description="column or key of the right answer, if any"
    )
    limit: Positive | None = Field(
        default=None, description="prompts to take at most, evenly spread"
    )


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


Decoder = Annotated[Greedy | Sample | Beam, Field(discriminator="method")]


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


class Block(Settings):
    """A product of names; the grid is the union of its blocks."""

    recipes: list[str] = Field(min_length=1, description="names of recipes")
    safeguards: list[str] = Field(default=[NONE], description="names of safeguards")
    alignments: list[str] = Field(min_length=1, description="names of alignments, or none")
    attacks: list[str] = Field(default=[NONE], description="names of attacks, or none")
    decoders: list[str] = Field(min_length=1, description="names of decoders")
    evaluations: list[str] = Field(min_length=1, description="names of evaluations")


class Config(Settings):
    """A whole config file."""

    name: Name = Field(description="results go to results/<name>; two files may share one")
    seeds: list[Count] = Field(default=[11], min_length=1, description="seeds of the reported runs")
    world: World = Field(default=World(), description="the embedded world")
    collect: Collect = Field(description="documents in")
    train_classifier: TrainClassifier = Field(
        default=TrainClassifier(), description="safety classifier"
    )
    score: Score = Field(default=Score(), description="scoring")
    rewrite: Rewrite = Field(default=Rewrite(), description="rewriting")
    recipes: dict[Name, Recipe] = Field(description="corpora, by name")
    tokenize: Tokenize = Field(default=Tokenize(), description="tokenizer and packing")
    model: Model = Field(default=Model(), description="architecture")
    pretrain: Training = Field(description="pretraining")
    alignments: dict[Name, SerializeAsAny[Settings]] = Field(
        default={}, description="post-training, by name"
    )
    attacks: dict[Name, SerializeAsAny[Settings]] = Field(
        default={}, description="attacks, by name"
    )
    decoders: dict[Name, Decoder] = Field(description="decoders, by name")
    judges: dict[Name, SerializeAsAny[Settings]] = Field(default={}, description="judges, by name")
    evaluations: dict[Name, SerializeAsAny[Settings]] = Field(description="evaluations, by name")
    grid: list[Block] = Field(min_length=1, description="what is measured")
    report: Report = Field(default=Report(), description="what the report puts in front")

    @field_validator(*PLUGIN_FOLDERS, mode="before")
    @classmethod
    def _by_plugin(cls, settings: Any, info: Any) -> Any:
        done, problems = {}, []
        for name, values in dict(settings).items():
            try:
                done[name] = plugin_settings(info.field_name, name, values)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return done


def plugin_names(folder: str) -> tuple[str, ...]:
    """Names of the plug-ins of a folder: the listing is the registry."""
    path = Path(__file__).parent / folder
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(path)]) if m.name[0] != "_"))


def plugin_module(folder: str, method: str) -> Any:
    """The plug-in's module; ValueError lists the known names (the one upward look)."""
    names = plugin_names(folder)
    if method not in names:
        raise ValueError(f"method '{method}' is unknown; known: {', '.join(names)}")
    return importlib.import_module(f"rebar.{folder}.{method}")


def plugin_settings(folder: str, name: str, values: Any) -> Any:
    """Validate one named setting by its plug-in's Config."""
    if isinstance(values, Settings):
        return values
    if not isinstance(values, Mapping) or not isinstance(values.get("method"), str):
        known = ", ".join(plugin_names(folder))
        raise ValueError(f"{folder}.{name} needs 'method:', one of {known}")
    try:
        config_class = plugin_module(folder, values["method"]).Config
    except ValueError as error:
        raise ValueError(f"{folder}.{name}: {error}") from error
    try:
        return config_class(**values)
    except ValidationError as error:
        raise ValueError("\n".join(_sentences(error, config_class, f"{folder}.{name}"))) from error


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Names allowed beside an unknown key: walk the annotations along its location."""
    for step in location[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is not None and step in fields:
            model = fields[step].annotation
        for _ in range(4):  # unwrap list[...], dict[..., ...], Annotated, X | None
            if hasattr(model, "model_fields"):
                break
            arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None)]
            tagged = [a for a in arguments if _tag_of(a) == step]
            model = tagged[0] if tagged else (arguments[-1] if arguments else model)
    return sorted(getattr(model, "model_fields", {}))


def _tag_of(model: Any) -> str | None:
    for key in ("kind", "method"):
        field = getattr(model, "model_fields", {}).get(key)
        if field is not None and getattr(field.annotation, "__args__", None):
            return str(field.annotation.__args__[0])
    return None


def _sentences(error: ValidationError, model: Any, prefix: str = "") -> list[str]:
    """One sentence a problem: which key, which value, what is allowed."""
    sentences = []
    for problem in error.errors(include_url=False):
        location = tuple(problem["loc"])
        key = ".".join(part for part in (prefix, *map(str, location)) if part)
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_at(model, location)) or "no keys"
            sentences.append(f"{key}: unknown key; allowed: {allowed}")
        elif problem["type"] == "missing":
            sentences.append(f"{key}: this key is required")
        elif problem["type"] == "value_error":
            message = str(problem.get("ctx", {})["error"])
            sentences.extend(m if m.startswith(key) else f"{key}: {m}" for m in message.split("\n"))
        else:
            sentences.append(f"{key}: {problem['msg']}; got {problem['input']!r}")
    return sentences


def parse_config(values: Mapping[str, Any], file: str) -> Config:
    """Validate a mapping; ValueError names file, key, value and what is allowed."""
    try:
        return Config(**dict(values))
    except ValidationError as error:
        lines = "\n".join(f"{file}: {line}" for line in _sentences(error, Config))
        raise ValueError(lines) from error


def load_config(file: str | Path) -> Config:
    """Read and validate one config file."""
    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not valid YAML: {error}") from error
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such config file") from error
    if not isinstance(values, Mapping):
        raise ValueError(f"{file}: a config file is a mapping of keys, see config/README.md")
    return parse_config(values, str(file))
