"""Names of the speakers in rewritten dialogues: placeholders until tokenizing, then random names.

Names and occupations keep a model from tying refusals to the two words "user" and "assistant"
(Maini et al. 2025, arXiv 2504.16980, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

SPEAKER_A, SPEAKER_B = "{speaker_a}", "{speaker_b}"
NAMES = (
    *("Amara", "Ben", "Chiara", "Daniel", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas"),
    *("Karim", "Leila", "Mateo", "Nina", "Omar", "Priya", "Rosa", "Samuel", "Tomas", "Yuki"),
)
OCCUPATIONS = (
    *("Student", "Teacher", "Nurse", "Baker", "Librarian", "Engineer", "Neighbour", "Coach"),
    *("Visitor", "Clerk", "Counsellor", "Journalist", "Mechanic", "Gardener", "User", "Assistant"),
)
SPEAKERS = NAMES + OCCUPATIONS


def fill_speakers(text: str, speakers: Sequence[str], rng: random.Random) -> str:
    """Replace the two placeholders by two different random speakers."""
    if SPEAKER_A not in text and SPEAKER_B not in text:
        return text
    first, second = rng.sample(speakers, 2)
    return text.replace(SPEAKER_A, first).replace(SPEAKER_B, second)
