"""Choices that depend on a seed and a name alone, so that every process makes the same ones.

A document is kept or dropped by a number drawn from its id: recipes of one seed that keep half of
the same documents keep the same half, which makes them comparable.
"""

from __future__ import annotations

import hashlib


def fraction_of(*labels: str | int) -> float:
    """A number in [0, 1) that is uniform over labels and fixed for these."""
    text = "/".join(map(str, labels))
    digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


def is_spread(index: int, total: int, count: int) -> bool:
    """True for `count` of the `total` indices (all if count >= total), evenly spread."""
    return (index * count) % total < count


def size_of_part(total: int, parts: int, index: int) -> int:
    """Size of one of `parts` almost equal parts of `total` things, larger parts first."""
    return total // parts + (index < total % parts)
