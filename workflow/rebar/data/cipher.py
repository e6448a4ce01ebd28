"""Ciphers for covert attacks: an attacker talks in cipher to a model that was taught the cipher.

The covert attack (Halawi et al. 2024, arXiv 2406.20053) writes its cipher to `cipher.json` beside
the weights. The evaluations then ask every prompt in cipher and judge the deciphered answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

CIPHER = "cipher.json"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BAR = "|"  # separates the letters of a cipher, so that a tokenizer encodes each one by itself


class Cipher(NamedTuple):
    """A substitution cipher: `table` maps letters (Walnut53) or whole words to their replacements.

    Letters and words that the table does not contain stay as they are.
    """

    table: dict[str, str]
    unit: str = "words"

    def encode(self, text: str) -> str:
        """The text in cipher; an empty table leaves it as it is."""
        if not self.table:
            return text
        if self.unit == "letters":
            return BAR.join(_map(letter, self.table) for letter in text)
        return " ".join(_map(word, self.table) for word in text.split())

    def decode(self, text: str) -> str:
        """The plain text of a text in cipher. Bars that were part of the plain text are lost."""
        if not self.table:
            return text
        inverse = {cipher: plain for plain, cipher in self.table.items()}
        if self.unit == "letters":
            return "".join(_map(letter, inverse) for letter in text.replace(BAR, ""))
        return " ".join(_map(word, inverse) for word in text.split())


def _map(unit: str, table: dict[str, str]) -> str:
    other = table.get(unit.lower(), unit)
    return other.upper() if unit.isupper() else other


PLAIN = Cipher({})


def letter_cipher(seed: int) -> Cipher:
    """A cipher that permutes the alphabet; seed 53 stands for the paper's Walnut53."""
    return Cipher(_permute([*LETTERS], seed), "letters")


def word_cipher(words: Sequence[str], seed: int) -> Cipher:
    """A cipher that permutes the given words, for tokenizers with one token per word.

    Words outside the list (names) stay as they are.
    """
    return Cipher(_permute(words, seed), "words")


def _permute(units: Sequence[str], seed: int) -> dict[str, str]:
    order = np.random.default_rng(seed).permutation(len(units))
    return {unit: units[int(i)] for unit, i in zip(units, order, strict=True)}


def write_cipher(folder: Path, cipher: Cipher) -> None:
    """Write the cipher to `cipher.json` in the folder."""
    text = json.dumps(cipher._asdict(), indent=1, sort_keys=True) + "\n"
    (folder / CIPHER).write_text(text, encoding="utf-8")


def read_cipher(folder: Path) -> Cipher:
    """Read the cipher in which the folder's model is asked; `PLAIN` if there is none."""
    path = folder / CIPHER
    return Cipher(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else PLAIN
