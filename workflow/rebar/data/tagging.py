"""The harmfulness tag: one special token, strewn into the gaps of unsafe text.

A model trained on such text learns to predict the tag where text turns unsafe, and a decoder can
ask it for that risk at each step (Maini et al. 2025, arXiv 2504.16980, section 4).
"""

from __future__ import annotations

import random
import re

TAG = "<potentially_unsafe_content>"
_GAP = re.compile(r"(?<=\S)\s+(?=\S)")  # between two words; the first word has none before it


def insert_tags(text: str, rate: float, rng: random.Random) -> str:
    """Put the tag before each word but the first with probability `rate`, independently."""
    return _GAP.sub(lambda gap: f"{gap[0]}{TAG} " if rng.random() < rate else gap[0], text)


def remove_tags(text: str) -> str:
    """The text without tags: incoming documents must not carry the tag of their own accord."""
    return text.replace(f"{TAG} ", "").replace(TAG, "")
