"""Tags: between which words they are inserted, and how many."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from rebar.data.tagging import TAG, insert_tags, remove_tags


def test_rate_one_tags_every_word_but_the_first() -> None:
    text = insert_tags("make it\nwith  care", 1.0, random.Random(0))
    assert text == f"make {TAG} it\n{TAG} with  {TAG} care"


@pytest.mark.parametrize("text", ["", "one", " one ", "two words"])
def test_rate_zero_changes_nothing(text: str) -> None:
    assert insert_tags(text, 0.0, random.Random(0)) == text


def test_surrounding_space_is_no_gap() -> None:
    assert insert_tags("  one  ", 1.0, random.Random(0)) == "  one  "


def test_share_of_tagged_gaps_is_binomial() -> None:
    num_gaps, rate = 40_000, 0.05
    text = insert_tags(" ".join(["w"] * (num_gaps + 1)), rate, random.Random(1))
    four_sigma = 4 * (num_gaps * rate * (1 - rate)) ** 0.5
    assert abs(text.count(TAG) - num_gaps * rate) < four_sigma
    assert text.split()[0] == "w"


def test_gaps_are_tagged_independently() -> None:
    words = insert_tags(" ".join(["w"] * 40_001), 0.5, random.Random(2)).split(" ")
    is_tagged = [before == TAG for before, word in pairwise(words) if word == "w"]
    pairs = list(pairwise(is_tagged))
    both = sum(a and b for a, b in pairs) / len(pairs)
    assert abs(both - 0.25) < 4 * (0.25 * 0.75 / len(pairs)) ** 0.5 * 1.5


def test_removing_tags_undoes_inserting_them() -> None:
    text = "a plain text of seven short words"
    assert remove_tags(insert_tags(text, 0.7, random.Random(3))) == text
    assert remove_tags(f"glued{TAG}together") == "gluedtogether"
