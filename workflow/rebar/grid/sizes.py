"""How large models and corpora are, from the config alone: parameters, documents, tokens.

Estimates for requests and plans. 6 FLOPs a parameter and trained token, 2 a token that is read or
written (Kaplan et al. 2020, arXiv 2001.08361, 2.1).
"""

from __future__ import annotations

import re
from pathlib import Path

from rebar.config.corpus import FileSource, Source
from rebar.config.file import Config
from rebar.config.model import Model
from rebar.config.paths import find_files, resolve

TRAIN_FLOPS, READ_FLOPS = 6, 2  # a parameter and token
DOCUMENT_TOKENS, DOCUMENT_BYTES = 700, 3000  # of a web page: FineWeb's mean is about 700 tokens
WORLD_TOKENS, WORLD_BYTES = 60, 250  # of a document of the embedded world
WORLD_VOCABULARY = 2048
HUB_VOCABULARY, HUB_LAYERS = 49152, 30  # SmolLM2-135M's
# `SmolLM2-1.7B`, `Llama-3.1-8B-Instruct`: what a Hub id says of the model's size.
_SIZE_IN_NAME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*([MB])(?![A-Za-z])", re.IGNORECASE)
_SCALE = {"M": 1e6, "B": 1e9}
_BYTES_A_WEIGHT = 2


def parameters(model: Model, vocabulary: int) -> int:
    """Weights of a Llama."""
    shared = (model.key_value_heads or model.heads) / model.heads
    attention = round((2 + 2 * shared) * model.hidden_size**2)
    feed_forward = 3 * model.hidden_size * model.feed_forward_size
    norms = 2 * model.hidden_size
    layers = model.layers * (attention + feed_forward + norms)
    matrices = 1 if model.tied_embeddings else 2
    return layers + (matrices * vocabulary + 1) * model.hidden_size


def vocabulary(config: Config) -> int:
    """Tokens in the vocabulary."""
    sizes = {"world": WORLD_VOCABULARY, "train": config.tokenize.vocabulary_size}
    return sizes.get(config.tokenize.tokenizer, HUB_VOCABULARY)


def model_parameters(config: Config, recipe: str) -> float:
    """Weights of a recipe's models."""
    start = config.recipes[recipe].initial_model
    return size_of(start) if start else parameters(config.model, vocabulary(config))


def size_of(model: str) -> float:
    """From the files of a local model, else from its name; 1e9 where neither tells."""
    try:
        folder = Path(resolve(model))
    except ValueError:  # the stage that needs the package says so
        folder = Path(model)
    files = folder.glob("*") if folder.is_dir() else [folder] if folder.is_file() else []
    weights = [f.stat().st_size for f in files if f.suffix in (".safetensors", ".gguf", ".bin")]
    if weights:
        return sum(weights) / _BYTES_A_WEIGHT
    found = _SIZE_IN_NAME.findall(model.rpartition("/")[2].replace("-", " "))
    return float(found[-1][0]) * _SCALE[found[-1][1].upper()] if found else 1e9


def documents(config: Config) -> float:
    """Documents of the corpus, before anything is set aside."""
    return sum(_documents(config, source) for source in config.collect.sources)


def _documents(config: Config, source: Source) -> float:
    if source.kind == "world":
        return source.documents
    if source.limit:
        return source.limit
    if isinstance(source, FileSource):
        try:
            files = find_files(source.paths)
        except ValueError:  # the stage that reads them says so
            return 0
        return sum(file.stat().st_size for file in files) / DOCUMENT_BYTES
    unlimited = [s for s in config.collect.sources if s.kind == "hub" and not s.limit]
    needed = pretraining_tokens(config) / DOCUMENT_TOKENS  # Hub datasets without limit: as needed
    return needed / len(unlimited)


def pretraining_tokens(config: Config) -> int:
    """Tokens that each arm is pretrained on."""
    return config.pretrain.steps * config.pretrain.tokens_per_step


def shard_text(config: Config, share: float = 1.0) -> tuple[float, float, float]:
    """Documents, tokens and bytes of a shard of the corpus."""
    is_world = all(source.kind == "world" for source in config.collect.sources)
    tokens = WORLD_TOKENS if is_world else DOCUMENT_TOKENS
    size = WORLD_BYTES if is_world else DOCUMENT_BYTES
    count = documents(config) * share / config.collect.shards
    return count, count * tokens, count * size
