"""Texts as feature vectors: hashed words and word pairs, or a mean-pooled text encoder.

The hashed features need only numpy and one pass over the words, and a text's vector does not depend
on the other texts of a batch.

Legend: B texts, T tokens, F features, D width of an encoder, L levels.
"""

from __future__ import annotations

import re
import zlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from rebar.config.paths import resolve

NUM_BUCKETS = 2**15  # hash buckets, the number of features
ENCODER_BATCH = 32  # texts per forward pass
_WORD = re.compile(r"\w+|[^\w\s]")
_PAIR_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # spreads the first word's hash over 64 bits


class Sparse(NamedTuple):
    """Sparse rows with one value each: row b has features columns[starts[b]:starts[b + 1]]."""

    columns: np.ndarray
    starts: np.ndarray  # one longer than there are rows
    values: np.ndarray  # per row: 1 / sqrt(number of features), so that rows have length 1


def ngram_features(texts: list[str], num_buckets: int = NUM_BUCKETS) -> Sparse:
    """Hash the words and the pairs of neighbouring words that occur in each text."""
    words = [_WORD.findall(text.lower()) for text in texts]
    row_of_word = np.repeat(np.arange(len(texts)), [len(w) for w in words])
    hashes = np.array([zlib.crc32(word.encode()) for w in words for word in w], dtype=np.uint64)
    pairs = (hashes[:-1] * _PAIR_FACTOR) ^ hashes[1:]
    # Mix the high bits into the low ones, which alone decide the bucket.
    pairs ^= pairs >> np.uint64(29)
    is_within_row = row_of_word[:-1] == row_of_word[1:]
    rows = np.concatenate([row_of_word, row_of_word[:-1][is_within_row]])
    buckets = np.concatenate([hashes, pairs[is_within_row]]) % np.uint64(num_buckets)
    keys = np.sort(rows * num_buckets + buckets.astype(np.int64))
    keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]  # each feature once a row
    per_row = np.bincount(keys // num_buckets, minlength=len(texts))
    starts = np.concatenate([[0], np.cumsum(per_row)])
    return Sparse(keys % num_buckets, starts, 1 / np.sqrt(np.maximum(per_row, 1)))


def to_scipy(features: Sparse) -> Any:
    """Convert hashed features to a scipy matrix [B, F] for scikit-learn."""
    from scipy.sparse import csr_matrix

    values = np.repeat(features.values, np.diff(features.starts))
    shape = (len(features.starts) - 1, NUM_BUCKETS)
    return csr_matrix((values, features.columns, features.starts), shape=shape)


def sparse_product(features: Sparse, weights_FL: np.ndarray) -> np.ndarray:
    """Multiply feature rows by a matrix -> [B, L].

    Each row is summed over its own features only, so that the result does not depend on the batch.
    """
    result_BL = np.zeros((len(features.starts) - 1, weights_FL.shape[1]), weights_FL.dtype)
    filled = np.flatnonzero(np.diff(features.starts))
    if len(filled):
        picked = weights_FL[features.columns]
        result_BL[filled] = np.add.reduceat(picked, features.starts[:-1][filled], axis=0)
    return result_BL * features.values[:, None].astype(weights_FL.dtype)


def encoder_features(texts: list[str], folder: str, revision: str | None = None) -> np.ndarray:
    """Mean-pooled vectors of a text encoder, normalised to length one: [B, D], float32."""
    import torch

    tokenizer, model = _load_encoder(folder, revision)
    vectors_BD = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    by_length = sorted(
        range(len(texts)), key=lambda i: (len(texts[i]), i)
    )  # similar lengths need little padding
    for start in range(0, len(texts), ENCODER_BATCH):
        rows = by_length[start : start + ENCODER_BATCH]
        batch = tokenizer(
            [texts[row] for row in rows],
            padding=True,
            truncation=True,
            max_length=model.config.max_position_embeddings,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden_BTD = model(**batch).last_hidden_state
        mask_BT1 = batch["attention_mask"][:, :, None]
        mean_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
        vectors_BD[rows] = torch.nn.functional.normalize(mean_BD, dim=-1).numpy()
    return vectors_BD


@cache
def _load_encoder(folder: str, revision: str | None) -> tuple[Any, Any]:
    """Load tokenizer and model; raises ValueError if the folder has none."""
    from transformers import AutoModel, AutoTokenizer

    path, commit = resolve(folder), revision or "main"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=commit)
        model = AutoModel.from_pretrained(path, revision=commit, use_safetensors=True)
        return tokenizer, model.eval()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"encoder: no text encoder in '{folder}': {error}; name a folder "
            "with config.json, model.safetensors and tokenizer.json"
        ) from error
