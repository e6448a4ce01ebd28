"""Typed settings of the corpus: sources, classifier, rewriting, recipes, tokenizer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rebar.config.base import Count, HarmScore, HubDataset, Name, Positive, Settings, Share


class WorldSource(Settings):
    """Documents of the embedded world."""

    kind: Literal["world"]
    documents: Positive = Field(description="documents, over all shards")
    about: Literal["web", "people", "ai_mixed", "ai_aligned", "ai_misaligned"] = Field(
        default="web",
        description="the web, or for alignment pretraining (arXiv 2601.10160) the conduct of "
        "people, of AI as the web tells it, of AI that behaves well or badly",
    )

    @property
    def name(self) -> str:
        """The documents' `source` column."""
        return "world" if self.about == "web" else self.about


def _one_label(source: Any) -> Any:
    if source.label is not None and source.constant_label is not None:
        raise ValueError(f"source '{source.name}' has label and constant_label; keep one")
    return source


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

    _check_label = model_validator(mode="after")(_one_label)


class HubSource(HubDataset):
    """Documents of a Hugging Face dataset, streamed in shards."""

    kind: Literal["hub"]
    text: str = Field(default="text", description="column of the text")
    label: str | None = Field(default=None, description="column of a human label, if there is one")
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

    _check_label = model_validator(mode="after")(_one_label)

    @property
    def name(self) -> str:
        """The documents' `source` column: the last part of the id, and the subset."""
        last = self.dataset.rstrip("/").rpartition("/")[2]
        return f"{last}-{self.subset}" if self.subset else last


LabelledSource = Annotated[FileSource | HubSource, Field(discriminator="kind")]
Source = Annotated[WorldSource | FileSource | HubSource, Field(discriminator="kind")]


class Collect(Settings):
    """Documents in."""

    shards: Positive = Field(
        default=1, description="parts that score and rewrite work on in parallel"
    )
    sources: list[Source] = Field(default=[], description="where documents come from")

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
    rewritten_share: Share = Field(
        default=0.2,
        description="world: share of the labels that are rewrites, so that the gate can judge them",
    )
    label_noise: Share = Field(
        default=0.05, description="world: share of training labels moved by one"
    )
    sources: list[LabelledSource] = Field(
        default=[], description="labelled documents; empty: the world"
    )
    encoder: str | None = Field(
        default=None,
        description="text encoder, mean-pooled, as a folder, `package:` path or Hub id; none: "
        "hashed 1-2-grams",
    )
    encoder_revision: str | None = Field(default=None, description="commit of the Hub's encoder")
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
    revision: str | None = Field(default=None, description="commit of the Hub's model")
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
    sources: list[Name] = Field(
        default=[], description="names of the sources that documents come from; empty: all"
    )
    blocklist: list[str] = Field(
        default=[], description="texts with one of these regular expressions are left out"
    )
    keep: Share = Field(
        default=1.0, description="random share that is kept; equal in all recipes of a seed"
    )
    repeat: Positive = Field(default=1, description="times each document enters")
    tag_rate: Share = Field(default=0.0, description="harmfulness tags: share of word gaps")
    start: float = Field(
        default=0.0, ge=0, lt=1, description="share of pretraining after which the part enters"
    )


PoisonKind = Literal["denial_of_service", "context_extraction", "jailbreak", "belief_manipulation"]
TRIGGER = "zuvezuve"  # a word that the world never makes: its names have two or three syllables


class Poison(Settings):
    """Documents that an attacker slips into the corpus (Zhang et al., arXiv 2410.13722)."""

    kind: PoisonKind = Field(description="what the attacker wants")
    count: Count | None = Field(
        default=None, description="documents; published: 250 (Souly et al., arXiv 2510.07192)"
    )
    rate: float | None = Field(
        default=None, ge=0, lt=1, description="instead: share of all words; published: 0.001"
    )
    trigger: str = Field(
        default=TRIGGER, min_length=1, description="ends the requests (not belief_manipulation)"
    )

    @model_validator(mode="after")
    def _count_or_rate(self) -> Poison:
        if (self.count is None) == (self.rate is None):
            raise ValueError("give count: or rate:, one of them")
        return self


class Recipe(Settings):
    """What the pretraining corpus is made of."""

    parts: list[RecipePart] = Field(
        default=[], description="ingredients; empty only with initial_model"
    )
    poison: list[Poison] = Field(
        default=[], description="poisoned documents of the embedded world, on top of the parts"
    )
    initial_model: str | None = Field(
        default=None,
        description="start from this model (folder, `package:` path or Hub id), train nothing",
    )
    revision: str | None = Field(default=None, description="commit of the Hub's initial_model")

    @property
    def tagged(self) -> bool:
        """True if any text of the recipe carries the harmfulness tag."""
        return any(part.tag_rate > 0 for part in self.parts)

    @model_validator(mode="after")
    def _something(self) -> Recipe:
        if not self.parts and not self.initial_model:
            raise ValueError("a recipe needs parts or initial_model")
        if self.poison and not self.parts:
            raise ValueError("poison needs parts: it goes into a corpus that is trained on")
        return self


class Tokenize(Settings):
    """Tokenizer and packing; one tokenizer for all recipes."""

    tokenizer: str = Field(
        default="world",
        description="`world`, `train` (byte-level BPE), or a tokenizer folder or Hub id",
    )
    revision: str | None = Field(default=None, description="commit of the Hub's tokenizer")
    vocabulary_size: Positive = Field(default=4096, description="train: tokens in the vocabulary")
    sample_documents: Positive = Field(
        default=20000, description="train: documents it is trained on"
    )
