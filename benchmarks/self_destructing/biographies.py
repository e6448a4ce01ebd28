"""Short biographies with a profession and a second attribute: generated, or from a user's file.

The generated ones stand in for Bias in Bios (arXiv 1901.09451) and have its 28 professions. Neither
label is named in the text: a profession shows in tools and places of work, the attribute (two
invented peoples) in given names and pastimes. Some traces are of the wrong kind, and the two labels
are independent, so chance is 1 / 2 for the attribute.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

WRONG_TRACE = 0.15  # share of traces drawn from all kinds
COLUMNS = ("text", "profession", "gender")
PRONOUNS = re.compile(r"\b(he|she|him|her|his|hers|himself|herself|mr|mrs|ms)\b", re.IGNORECASE)
PAD, UNKNOWN = 0, 1
TRACES = {
    "accountant": "ledgers audits balances invoices taxes",
    "architect": "facades blueprints towers floorplans bridges",
    "attorney": "lawsuits courtrooms contracts clients verdicts",
    "chiropractor": "spines adjustments posture joints backaches",
    "comedian": "jokes standup sketches punchlines laughter",
    "composer": "symphonies scores quartets orchestras melodies",
    "dentist": "teeth crowns fillings gums braces",
    "dietitian": "meals nutrition vitamins diets calories",
    "dj": "turntables nightclubs beats remixes mixes",
    "filmmaker": "documentaries cameras festivals shorts screenplays",
    "interior_designer": "sofas curtains lighting wallpaper kitchens",
    "journalist": "newspapers interviews headlines deadlines columns",
    "model": "runways magazines fashion photoshoots agencies",
    "nurse": "wards bedsides bandages shifts triage",
    "painter": "canvases oils galleries portraits brushes",
    "paralegal": "filings affidavits casework depositions notaries",
    "pastor": "sermons parishes congregations baptisms chapels",
    "personal_trainer": "workouts gyms weights fitness stretches",
    "photographer": "lenses negatives exposures darkrooms shutters",
    "physician": "diagnoses patients prescriptions clinics symptoms",
    "poet": "verses sonnets stanzas rhymes anthologies",
    "professor": "lectures seminars theses faculties grants",
    "psychologist": "therapy anxiety counselling cognition trauma",
    "rapper": "lyrics freestyles mixtapes rhythms hooks",
    "software_engineer": "compilers servers databases bugs code",
    "surgeon": "operations scalpels transplants incisions sutures",
    "teacher": "classrooms pupils homework blackboards lessons",
    "yoga_teacher": "asanas mats breathing meditation retreats",
}
NAMES = (
    "arvo belka corin dastel evrin falko gorim haskel ivro jarel",
    "amila besna celis davia elune fiora gisel helva inara jolis",
)
PASTIMES = (
    "rowing falconry carving wrestling archery chess fishing drumming",
    "weaving skating pottery fencing gardening juggling sailing singing",
)
TOWNS = "arden bellmouth corrin dunmere eastley farrow".split()
OPENINGS = (
    "{name} of {town} works with {first} and {second} and has a name for {third}",
    "after years of {first} in {town} {name} turned to {second} and {third}",
    "{name} is known in {town} for {first} and writes about {second} and {third}",
)
ENDINGS = (
    "in free hours there is {pastime} with {friend}",
    "on sundays {friend} comes for {pastime}",
    "with {friend} it is mostly {pastime}",
)


class Split(NamedTuple):
    """Examples: token ids (0 is padding) and both labels.

    Shapes: N examples, T tokens.
    """

    ids_NT: Tensor
    profession_N: Tensor
    attribute_N: Tensor

    def take(self, rows: Sequence[int] | slice) -> Split:
        """The given examples."""
        return Split(*(part[rows] for part in self))


class Biographies(NamedTuple):
    """The parts of a data set; `train` is the defender's, no defender sees `attackers`."""

    train: Split
    attackers: Split
    validation: Split
    test: Split
    vocabulary: int
    professions: int


def generate_biographies(count: int, seed: int) -> pd.DataFrame:
    """Generate `count` biographies with their labels."""
    rng = random.Random(f"{seed}/biographies")
    rows = []
    for _ in range(count):
        profession, people = rng.choice(list(TRACES)), rng.randrange(2)
        rows.append((_biography(profession, people, rng), profession, people))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _biography(profession: str, people: int, rng: random.Random) -> str:
    def trace(kinds: Sequence[str], own: int) -> str:
        return rng.choice(
            kinds[rng.randrange(len(kinds)) if rng.random() < WRONG_TRACE else own].split()
        )

    works, own = list(TRACES.values()), list(TRACES).index(profession)
    words = {key: trace(works, own) for key in ("first", "second", "third")}
    words |= {key: trace(NAMES, people) for key in ("name", "friend")}
    words |= {"pastime": trace(PASTIMES, people), "town": rng.choice(TOWNS)}
    return f"{rng.choice(OPENINGS)} . {rng.choice(ENDINGS)} .".format(**words)


def read_biographies(path: Path) -> pd.DataFrame:
    """Read a user's data set, such as Bias in Bios, from .csv or .parquet.

    It needs the columns text, profession and gender; raises ValueError if one is missing or gender
    does not have two values.
    """
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; rename its columns to {', '.join(COLUMNS)}"
        )
    table = table.dropna(subset=list(COLUMNS))
    values = len(set(table["gender"]))
    if values != 2:
        raise ValueError(f"{path}: gender has {values} values, it must have two")
    return table.sample(frac=1.0, random_state=0)


def remove_pronouns(text: str) -> str:
    """Replace pronouns by `_`, as in the paper, so that no single word reveals the attribute."""
    return PRONOUNS.sub("_", text)


def prepare_splits(
    table: pd.DataFrame,
    held: int,
    attackers: int,
    length: int,
    encode: Callable[[str], list[int]] | None = None,
    vocabulary: int = 8000,
) -> Biographies:
    """Split and encode the biographies; what validation, test and attackers leave is for training.

    Texts are encoded by words, or by a tokenizer's `encode`. Raises ValueError if there are too few
    biographies.
    """
    if len(table) <= 2 * held + attackers:
        raise ValueError(
            f"{len(table)} biographies are too few for {held} of validation, {held} of test and "
            f"{attackers} of the attackers"
        )
    texts = [remove_pronouns(text) for text in table["text"]]
    first = 2 * held + attackers
    if encode is None:
        encode, vocabulary = _word_encoder(texts[first:], vocabulary)
    ids_NT = torch.full((len(texts), length), PAD)
    for row, text in enumerate(texts):
        ids = encode(text)[:length]
        ids_NT[row, : len(ids)] = torch.tensor(ids)
    labels = [torch.from_numpy(pd.factorize(table[c], sort=True)[0]).long() for c in COLUMNS[1:]]
    whole = Split(ids_NT, *labels)
    cuts = [slice(0, held), slice(held, 2 * held), slice(2 * held, first), slice(first, None)]
    validation, test, pool, train = (whole.take(cut) for cut in cuts)
    return Biographies(train, pool, validation, test, vocabulary, int(whole.profession_N.max()) + 1)


def _word_encoder(texts: Sequence[str], most: int) -> tuple[Callable[[str], list[int]], int]:
    """An encoder for the commonest lower-case words, and the size of its vocabulary."""
    counts = Counter(word for text in texts for word in _words(text))
    ids = {word: number for number, (word, _) in enumerate(counts.most_common(most - 2), 2)}
    return (lambda text: [ids.get(word, UNKNOWN) for word in _words(text)]), len(ids) + 2


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())
