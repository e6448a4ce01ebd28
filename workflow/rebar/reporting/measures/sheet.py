"""Sheets for human labelling: a sample of stored answers without the judge's verdict.

The sample is drawn evenly over outcomes and models, because rare outcomes would hardly appear in a
random one. A filled sheet is compared with the stored verdicts; each answer then weighs as many
answers as it represents. Neither the sheet nor its order reveals the verdict.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rebar.reporting.measures.audit import OUTCOMES

if TYPE_CHECKING:
    import pandas as pd

MODEL = ["recipe", "safeguard", "alignment", "attack", "decoder"]
STRATA = ["evaluation", *MODEL, "outcome"]
IDENTITY = ["evaluation", *MODEL, "seed", "split", "prompt_id"]
SHEET = ["key", "evaluation", "prompt", "answer", "label"]
READ = [*IDENTITY, "hazard_id", "prompt_style", "prompt", "answer", "outcome", "judge"]
KEY_LENGTH = 12  # hexadecimal digits: no two of a million answers share one by chance
_SPECIAL = re.compile(r"<\|[^<>|]{1,40}\|>|</?[a-z_]{1,20}>")


def read_stored(folders: Sequence[Path], root: Path, judges: Collection[str]) -> pd.DataFrame:
    """Read the answers of these models that one of the judges decided on, each with its key."""
    import pandas as pd

    parts = [pd.read_parquet(folder / "generations.parquet", columns=READ) for folder in folders]
    stored = pd.concat(parts, ignore_index=True)
    stored = stored.loc[stored["judge"].isin(list(judges))]
    keys = [_key(root.name, row) for row in zip(*(stored[n] for n in IDENTITY), strict=True)]
    return stored.assign(key=keys, hazard_id=stored.hazard_id.fillna(stored.prompt_id))


def _key(name: str, row: tuple) -> str:
    return hashlib.sha256("/".join(map(str, (name, *row))).encode()).hexdigest()[:KEY_LENGTH]


def plain(prompt: str) -> str:
    """The exact prompt of a model without its special tokens."""
    return " ".join(_SPECIAL.sub(" ", prompt).split(" ")).strip()


def stratified(stored: pd.DataFrame, count: int) -> pd.DataFrame:
    """About as many answers of every stratum, `count` in all; `weight`: answers each stands for.

    The strata take turns, each giving its next answer by key, until the sample is full. The same
    answers give the same sample, and a larger sample contains the smaller one.
    """
    ordered = stored.sort_values("key", kind="stable")
    turns = ordered.groupby(STRATA, sort=False).cumcount().to_numpy()
    return weighted(ordered.iloc[np.argsort(turns, kind="stable")[:count]], stored)


def weighted(chosen: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """`chosen` with `weight`: the answers of its stratum over those that were chosen of it."""
    sizes, taken = (Counter(_strata(rows)) for rows in (stored, chosen))
    return chosen.assign(weight=[sizes[stratum] / taken[stratum] for stratum in _strata(chosen)])


def _strata(rows: pd.DataFrame) -> list[tuple]:
    return list(zip(*(rows[name] for name in STRATA), strict=True))


def write_sheet(path: Path, stored: pd.DataFrame, count: int) -> int:
    """Write a sheet with an empty column `label`; returns its number of rows.

    ValueError if the file is there: it may hold labels.
    """
    if path.exists():
        raise ValueError(f"{path} exists and may hold labels; move it away or give another --out")
    chosen = stratified(stored, count).sort_values("key", kind="stable")
    rows = chosen.assign(prompt=[plain(text) for text in chosen.prompt], label="")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.unfinished")
    rows.to_csv(temporary, columns=SHEET, index=False)
    temporary.replace(path)
    return len(rows)


def filled_sheet(path: Path, stored: pd.DataFrame) -> pd.DataFrame:
    """The labelled rows of a sheet with what is stored of them; rows without label are left out.

    ValueError names line and label if it is no outcome, or rows that belong to other answers.
    """
    import pandas as pd

    if not path.exists():
        raise ValueError(f"audit.sheets: {path} is missing; make it: python -m rebar sheet")
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in ("key", "label") if name not in sheet]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; keep those of the sheet")
    labels = [label.strip().lower() for label in sheet["label"]]
    wrong = [row for row, label in enumerate(labels) if label not in (*OUTCOMES, "")]
    if wrong:
        raise ValueError(
            f"{path}: row {wrong[0] + 1} has a label that is no outcome; allowed: "
            f"{', '.join(OUTCOMES)}, or nothing"
        )
    label_of = {key: label for key, label in zip(sheet["key"], labels, strict=True) if label}
    joined = stored.loc[stored["key"].isin(list(label_of))]
    if not label_of or len(joined) < len(label_of):
        raise ValueError(
            f"{path}: {len(label_of)} rows are labelled, {len(joined)} of them belong to the "
            "stored answers; label a sheet of these results"
        )
    return weighted(joined.assign(label=[label_of[key] for key in joined["key"]]), stored)
