"""Ciphers in which an attacker talks to a model that was taught them (Halawi et al. 2024).

An attack writes its cipher once (`cipher.json`, beside the weights); the evaluations then ask every
prompt in cipher and judge deciphered answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

CIPHER = "cipher.json"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BAR = "|"  # between the signs of a letter cipher, so that a tokenizer sees each by itself


class Cipher(NamedTuple):
    """Which sign stands for which: letters as in Walnut53, or whole words; others stay."""

    table: dict[str, str]
    unit: str = "words"

    def encode(self, text: str) -> str:
        """The text in cipher; with an empty table the text itself."""
        if not self.table:
            return text
        if self.unit == "letters":
            return BAR.join(_map(letter, self.table) for letter in text)
        return " ".join(_map(word, self.table) for word in text.split())

    def decode(self, text: str) -> str:
        """What a text in cipher says. Bars that stood in a plain text are lost."""
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
    """A permuted alphabet; that of seed 53 is Walnut53."""
    return Cipher(_permute([*LETTERS], seed), "letters")


def word_cipher(words: Sequence[str], seed: int) -> Cipher:
    """Permuted words, for a tokenizer that knows whole words; words of no list (names) stay."""
    return Cipher(_permute(words, seed), "words")


def _permute(units: Sequence[str], seed: int) -> dict[str, str]:
    order = np.random.default_rng(seed).permutation(len(units))
    return {unit: units[int(i)] for unit, i in zip(units, order, strict=True)}


def write_cipher(folder: Path, cipher: Cipher) -> None:
    """Write `cipher.json`."""
    text = json.dumps(cipher._asdict(), indent=1, sort_keys=True) + "\n"
    (folder / CIPHER).write_text(text, encoding="utf-8")


def read_cipher(folder: Path) -> Cipher:
    """The cipher in which the folder's model is asked; `PLAIN` where there is none."""
    path = folder / CIPHER
    return Cipher(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else PLAIN
