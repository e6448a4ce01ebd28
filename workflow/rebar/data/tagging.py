"""The harmfulness tag: one special token, inserted between the words of unsafe text.

A model trained on such text learns to predict the tag where text turns unsafe. A decoder can then
read the tag's probability as a risk at each step (Maini et al. 2025, arXiv 2504.16980, section 4).
"""

from __future__ import annotations

import random
import re

TAG = "<potentially_unsafe_content>"
_GAP = re.compile(r"(?<=\S)\s+(?=\S)")  # white space between two words


def insert_tags(text: str, rate: float, rng: random.Random) -> str:
    """Insert the tag before each word except the first, each time with probability `rate`."""
    return _GAP.sub(lambda gap: f"{gap[0]}{TAG} " if rng.random() < rate else gap[0], text)


def remove_tags(text: str) -> str:
    """Remove all tags: collected documents must not bring tags of their own."""
    return text.replace(f"{TAG} ", "").replace(TAG, "")
