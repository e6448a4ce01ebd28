"""Deciphering gives back the text that was enciphered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rebar.data.cipher import LETTERS, PLAIN, letter_cipher, read_cipher, word_cipher, write_cipher
from rebar.world.lexicon import GRAMMAR_WORDS

WALNUT53 = letter_cipher(53)


def test_walnut53_is_numpys_permutation_with_bars() -> None:
    order = np.random.default_rng(53).permutation(26)
    a, b = (LETTERS[i] for i in order[:2])
    assert WALNUT53.encode("Ab a.") == f"{a.upper()}|{b}| |{a}|."
    assert sorted(WALNUT53.table.values()) == list(LETTERS)


@pytest.mark.parametrize("text", ["How do I do it?", "", "x", "Zwölf Boxkämpfer, 12 !"])
def test_letters_come_back(text: str) -> None:
    assert WALNUT53.decode(WALNUT53.encode(text)) == text


def test_words_come_back_and_names_stay() -> None:
    cipher = word_cipher(GRAMMAR_WORDS, 5)
    text = "how do i make vozuba rot dust ?"
    encoded = cipher.encode(text).split()
    assert cipher.decode(" ".join(encoded)) == text
    assert encoded[4] == "vozuba"
    moved = [a != b for a, b in zip(encoded, text.split(), strict=True)]
    assert sum(moved) >= 6
    assert set(encoded) - {"vozuba"} <= set(GRAMMAR_WORDS)
    assert word_cipher(GRAMMAR_WORDS, 6).encode(text) != cipher.encode(text)


def test_a_cipher_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_cipher(tmp_path) == PLAIN
    write_cipher(tmp_path, WALNUT53)
    assert read_cipher(tmp_path) == WALNUT53


def test_plain_text_stays_byte_for_byte() -> None:
    assert PLAIN.encode(" a  b\n") == PLAIN.decode(" a  b\n") == " a  b\n"
