"""Hashed words and pairs: which features, which values, independent of the batch."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from rebar.corpus.features import NUM_BUCKETS, ngram_features, sparse_product


def row(texts: list[str], index: int) -> list[int]:
    features = ngram_features(texts)
    return features.columns[features.starts[index] : features.starts[index + 1]].tolist()


def word(text: str) -> int:
    return zlib.crc32(text.encode()) % NUM_BUCKETS


def test_one_word_is_its_hash() -> None:
    assert row(["Fire"], 0) == [word("fire")]


def test_words_pairs_and_punctuation_count_once_each() -> None:
    once, twice = row(["mix a , b"], 0), row(["mix a , b mix a , b"], 0)
    assert len(once) == 4 + 3
    assert len(twice) == 4 + 4  # one new pair, `b mix`
    assert set(once) < set(twice)
    assert {word("mix"), word("a"), word(","), word("b")} < set(once)


def test_order_of_words_matters_to_pairs() -> None:
    assert row(["a b"], 0) != row(["b a"], 0)


def test_no_pair_spans_two_texts() -> None:
    texts = ["a b", "", "c d"]
    assert [row(texts, i) for i in range(3)] == [row([text], 0) for text in texts]
    assert row(texts, 1) == []


def test_rows_have_length_one() -> None:
    features = ngram_features(["a b c", "", "a"])
    assert features.values.tolist() == pytest.approx([5**-0.5, 1.0, 1.0])


def test_the_product_is_that_of_the_dense_matrix() -> None:
    texts = ["a b c", "", "d", "a b c d e f"]
    features = ngram_features(texts)
    dense_BF = np.zeros((4, NUM_BUCKETS))
    for i in range(4):
        dense_BF[i, row(texts, i)] = features.values[i]
    weights_FL = np.random.default_rng(0).normal(size=(NUM_BUCKETS, 3))
    np.testing.assert_allclose(sparse_product(features, weights_FL), dense_BF @ weights_FL)
