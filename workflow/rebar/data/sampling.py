"""Random choices that depend only on a seed and a name, so that every process makes the same ones.

Whether a document is kept is decided by a number computed from its id. Two recipes of one seed that
both keep half of the same documents therefore keep the same half, which makes them comparable.
"""

from __future__ import annotations

import hashlib


def fraction_of(*labels: str | int) -> float:
    """A number in [0, 1) computed from the labels; uniform over different labels."""
    text = "/".join(map(str, labels))
    digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


def is_evenly_spread(index: int, total: int, count: int) -> bool:
    """Whether an index is one of `count` evenly spread indices out of `total`.

    Every index is chosen if `count` >= `total`.
    """
    return (index * count) % total < count


def size_of_part(total: int, parts: int, index: int) -> int:
    """Size of part number `index` when `total` things are cut into almost equal parts.

    The larger parts come first.
    """
    return total // parts + (index < total % parts)
