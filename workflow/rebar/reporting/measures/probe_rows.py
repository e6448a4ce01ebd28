"""Numbers of probes as files: `rows.csv` of one probe and model, `probes.csv` of the whole grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.jobs.formats import csv_text, read_csv, write_csv

ROWS = "rows.csv"
# In the order of the plug-ins' rows (rebar.probes._data.Row): a number, and where it was measured.
COLUMNS = ("metric", "value", "loss", "direction", "alpha", "beta", "dimension")
_NUMBERS = ("value", "alpha", "beta", "dimension")


class Number(NamedTuple):
    """One number of one model; nan where a coordinate means nothing."""

    arm: Arm
    seed: int
    probe: str
    metric: str
    value: float
    loss: str
    direction: str
    alpha: float
    beta: float
    dimension: float


def write_rows(folder: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write `rows.csv`: nine digits, an empty field where there is nothing."""
    write_csv(folder / ROWS, COLUMNS, ([_nine_digits(value) for value in row] for row in rows))


def _nine_digits(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value


def read_numbers(root: Path, config: Config) -> list[Number]:
    """All numbers of the grid's probes, by arm, probe and seed in the order of the config."""
    return [
        Number(arm, seed, probe, **{k: _value(k, text) for k, text in row.items()})
        for arm, seed, probe, row in _rows(root, config)
    ]


def _value(key: str, text: str) -> Any:
    return float(text or "nan") if key in _NUMBERS else text


def probes_csv(root: Path, config: Config) -> str:
    """`probes.csv`: the rows of all probes unchanged, after the names of their models."""
    header = (*Arm._fields, "seed", "probe", *COLUMNS)
    rows = ((*arm, seed, probe, *row.values()) for arm, seed, probe, row in _rows(root, config))
    return csv_text(header, rows)


def _rows(root: Path, config: Config) -> Iterator[tuple[Arm, int, str, dict[str, str]]]:
    for arm in grid.arms(config):
        for probe in grid.probes(config, arm):
            for seed in config.seeds:
                folder = root / grid.folder("probe", seed=seed, **arm._asdict()) / probe
                for row in read_csv(folder / ROWS):
                    yield arm, seed, probe, row
