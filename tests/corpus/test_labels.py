"""Labelled documents: exact noise, clean held-out levels, stratified splits."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from rebar.config.corpus import FileSource, TrainClassifier
from rebar.config.world import World
from rebar.corpus.labels import LabelledText, add_noise, human_labels, split_by_level, world_labels
from rebar.world import build_world, sample_documents


def documents(**num_of_level: int) -> list[LabelledText]:
    return [
        LabelledText(f"{level}-{i}", int(level[1:]), "s")
        for level, count in num_of_level.items()
        for i in range(count)
    ]


def test_noise_moves_exactly_this_share_by_one() -> None:
    clean = documents(l0=500, l3=300, l5=200)
    noisy = add_noise(clean, 0.05, random.Random(0))
    moves = Counter((a.level, b.level) for a, b in zip(clean, noisy, strict=True) if a != b)
    assert sum(moves.values()) == 50
    assert set(moves) == {(0, 1), (3, 2), (3, 4), (5, 4)}
    assert [d.text for d in noisy] == [d.text for d in clean]


def test_the_world_labels_raw_text_and_rewrites() -> None:
    settings = TrainClassifier(labels=500, heldout=300, rewritten_share=0.2, label_noise=0.0)
    labels = world_labels(settings, World(), 4, random.Random(1))
    assert (len(labels.train), len(labels.heldout)) == (500, 300)
    sources = Counter(document.source for document in labels.train)
    assert sources == {"world": 400, "rewritten": 100}
    rewritten = Counter(d.level for d in labels.train if d.source == "rewritten")
    assert set(rewritten) == {0, 3, 4}
    assert rewritten[3] > rewritten[0] > 0 and rewritten[4] < 15
    assert {d.source for d in labels.heldout} == {"world"}


def test_heldout_levels_are_true_and_training_levels_noisy() -> None:
    settings = TrainClassifier(labels=400, heldout=400, rewritten_share=0.0, label_noise=0.5)
    labels = world_labels(settings, World(), 4, random.Random(1))
    rng = random.Random(1)
    world = build_world(World(), 4)
    raw = list(sample_documents(world, 400, rng))
    assert sum(a.level != b.level for a, b in zip(raw, labels.train, strict=True)) == 200
    heldout = list(sample_documents(world, 400, rng))
    assert [(d.text, d.level) for d in heldout] == [(d.text, d.level) for d in labels.heldout]


def test_a_split_keeps_the_share_of_every_level() -> None:
    labels = split_by_level(documents(l0=60, l2=30, l5=10), 50, 20, random.Random(0))
    assert Counter(d.level for d in labels.train) == {0: 30, 2: 15, 5: 5}
    assert Counter(d.level for d in labels.heldout) == {0: 12, 2: 6, 5: 2}
    assert not set(labels.train) & set(labels.heldout)


def test_too_few_documents_keep_the_ratio_of_the_parts() -> None:
    labels = split_by_level(documents(l0=60, l5=30), 1500, 3000, random.Random(0))
    assert (len(labels.train), len(labels.heldout)) == (30, 60)


def test_one_document_cannot_be_split() -> None:
    with pytest.raises(
        ValueError, match="1 labelled documents are too few to split into labels: 5"
    ):
        split_by_level(documents(l1=1), 5, 5, random.Random(0))


def test_human_labels_come_once_per_text(tmp_path: Path) -> None:
    rows = "\n".join(f"text {i},{i % 2}" for i in range(20))
    (tmp_path / "a.csv").write_text(f"text,h\n{rows}\ntext 0,1\n")
    source = FileSource(kind="files", name="a", paths=[f"{tmp_path}/a.csv"], label="h")
    other = source.model_copy(update={"name": "b"})
    settings = TrainClassifier(labels=10, heldout=10, sources=[source, other])
    labels = human_labels(settings, random.Random(0))
    everything = labels.train + labels.heldout
    assert len({d.text for d in everything}) == len(everything) == 20
    assert {d.source for d in everything} == {"a"}
    assert next(d.level for d in everything if d.text == "text 0") == 0
    assert human_labels(settings, random.Random(0)) == labels
