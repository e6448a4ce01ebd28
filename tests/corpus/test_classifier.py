"""The classifier: what it learns, the worst chunk, saving without pickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rebar.corpus.classifier import (
    Classifier,
    Verdict,
    chunk_text,
    load_classifier,
    save_classifier,
    train_classifier,
)
from rebar.corpus.features import NUM_BUCKETS, ngram_features

TEXTS = ["calm lake", "warm bread", "calm bread", "vile oath", "vile curse", "dire bomb"] * 4
LEVELS = [0, 0, 0, 2, 2, 5] * 4


@pytest.fixture(scope="module")
def model() -> Classifier:
    return train_classifier(TEXTS, LEVELS, encoder=None, chunk_words=3)


def test_it_learns_its_labels(model: Classifier) -> None:
    assert model.levels == (0, 2, 5)
    assert [verdict.score for verdict in model.classify(TEXTS)] == LEVELS
    assert [v.score for v in model.classify(["dire dire", "warm lake", "vile"])] == [5, 0, 2]


def by_hand(word_levels: dict[str, int], chunk_words: int) -> Classifier:
    """One word a level, with a weight that makes it certain."""
    levels = tuple(sorted({0, *word_levels.values()}))
    weights_FL = np.zeros((NUM_BUCKETS, len(levels)), dtype=np.float32)
    for word, level in word_levels.items():
        weights_FL[ngram_features([word]).columns, levels.index(level)] = 40.0
    bias_L = np.zeros(len(levels), dtype=np.float32)
    bias_L[0] = 3.0
    return Classifier(weights_FL, bias_L, levels, chunk_words, None)


def test_the_worst_chunk_decides() -> None:
    model = by_hand({"bad": 3, "worse": 5}, chunk_words=2)
    verdicts = model.classify(["fine fine fine bad fine", "bad fine worse fine bad", "fine fine"])
    assert [verdict.score for verdict in verdicts] == [3, 5, 0]
    assert verdicts[0].reason.endswith("chunk 2 of 3")
    assert verdicts[1].reason.endswith("chunk 2 of 3")
    assert verdicts[2].reason == "p=0.91"  # e^3 / (e^3 + 2)


def test_harm_in_a_long_text_drowns_without_chunks() -> None:
    text = " ".join(f"w{i}" for i in range(400)) + " bad"
    assert by_hand({"bad": 3}, chunk_words=500).classify([text])[0].score == 0
    assert by_hand({"bad": 3}, chunk_words=40).classify([text])[0].score == 3


def test_chunks() -> None:
    assert chunk_text("a  b\nc", 3) == ["a  b\nc"]
    assert chunk_text("a b c d e", 2) == ["a b", "c d", "e"]
    assert chunk_text("", 2) == [""]


def test_scores_do_not_depend_on_the_batch(model: Classifier) -> None:
    texts = ["calm oath lake vile", "bomb", "", "dire bread bomb warm curse calm"]
    assert model.classify(texts) == [model.classify([text])[0] for text in texts]
    assert model.classify([]) == []


def test_saved_and_loaded_it_is_the_same(model: Classifier, tmp_path: Path) -> None:
    save_classifier(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "classifier.json",
        "classifier.safetensors",
    ]
    loaded = load_classifier(tmp_path)
    assert (loaded.levels, loaded.chunk_words, loaded.encoder) == ((0, 2, 5), 3, None)
    np.testing.assert_array_equal(loaded.weights_FL, model.weights_FL)
    assert loaded.classify(TEXTS) == model.classify(TEXTS)


def test_training_twice_gives_the_same_bytes(model: Classifier, tmp_path: Path) -> None:
    again = train_classifier(TEXTS, LEVELS, encoder=None, chunk_words=3)
    assert again.weights_FL.tobytes() == model.weights_FL.tobytes()


def test_two_levels_are_enough() -> None:
    model = train_classifier(["good day", "evil day"] * 3, [1, 4] * 3, encoder=None, chunk_words=9)
    assert model.levels == (1, 4)
    assert [v.score for v in model.classify(["good", "evil"])] == [1, 4]
    probabilities = [float(v.reason.removeprefix("p=")) for v in model.classify(["good", "evil"])]
    assert all(0.5 < p < 1 for p in probabilities)


def test_one_level_is_not_enough() -> None:
    with pytest.raises(ValueError, match="all 2 labels are 3; a classifier needs documents of at"):
        train_classifier(["a", "b"], [3, 3], encoder=None, chunk_words=9)


def test_rare_levels_count_as_much_as_frequent_ones() -> None:
    texts = ["shared word"] * 9 + ["shared word"] * 1
    model = train_classifier(texts, [0] * 9 + [5], encoder=None, chunk_words=9)
    assert model.classify(["shared word"])[0].reason == "p=0.50"


def test_a_long_labelled_text_is_seen_in_chunks() -> None:
    model = train_classifier(["a b c d", "e f"], [0, 5], encoder=None, chunk_words=2)
    assert [v.score for v in model.classify(["a b", "c d", "e f"])] == [0, 0, 5]


def test_an_encoder_gives_dense_features(tmp_path: Path) -> None:
    from tests.corpus.tiny_models import save_encoder

    folder = save_encoder(tmp_path / "encoder", TEXTS)
    model = train_classifier(TEXTS, LEVELS, encoder=str(folder), chunk_words=3)
    assert model.weights_FL.shape == (16, 3)
    save_classifier(model, tmp_path)
    assert load_classifier(tmp_path).classify(TEXTS) == model.classify(TEXTS)
    assert isinstance(model.classify(["calm"])[0], Verdict)
    batch = model.classify(["calm", "calm lake warm bread vile oath dire"])
    assert batch[0].score == model.classify(["calm"])[0].score


def test_a_folder_without_encoder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"encoder: no text encoder in"):
        train_classifier(TEXTS, LEVELS, encoder=str(tmp_path), chunk_words=3)
