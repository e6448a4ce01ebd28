"""The headline comparison: rows are arms and decoders, columns the states of their models.

Every attack success is shown with over-refusal and capability of the same model, attack and
decoder. If one of these was not measured, the success is withheld.
"""

from __future__ import annotations

from typing import NamedTuple

from rebar.config.base import NONE
from rebar.config.file import Config
from rebar.config.kinds import Role
from rebar.grid import Arm
from rebar.reporting.measures.aggregate import Level, Results
from rebar.reporting.measures.cells import Cell, cell_metric, evaluation_of, greedy
from rebar.reporting.measures.statistics import MIN_SEEDS


class Row(NamedTuple):
    """An arm with one decoder; `base` is the arm before alignment."""

    arm: Arm
    decoder: str

    @property
    def label(self) -> str:
        """The row in words."""
        return f"{arm_label(self.arm)}, {self.decoder}"


def arm_label(arm: Arm) -> str:
    """Recipe, then alignment and safeguard where there are any."""
    return " + ".join(name for name in (arm.recipe, arm.safeguard, arm.alignment) if name != NONE)


def short_label(results: Results, row: Row) -> str:
    """A short name, without ordinary alignment and greedy decoding."""
    usual = (NONE, results.config.report.control_alignment)
    names = [row.arm.recipe, *(name for name in row.arm[1:] if name not in usual)]
    return "+".join(names) + (f", {row.decoder}" if row.decoder != greedy(results.config) else "")


def state_label(state: str) -> str:
    """A column's header: `harmful_finetune_10` reads `harmful 10`."""
    return state.replace("_finetune", "").replace("_", " ")


class Side(NamedTuple):
    """A split that stands beside the headline."""

    name: str
    level: Level


class View(NamedTuple):
    """All numbers shown for one model state; success never without over-refusal and capability."""

    success: Level | None  # None: withheld
    refused: Level | None
    over_refusal: Level | None
    capability: Level | None
    knowledge: Level | None
    halves: list[Side]
    generalisation: list[Side]
    num_collapsed: int


def rows(results: Results) -> list[Row]:
    """Aligned arms with each decoder, in the grid's order, then base models without such a row."""
    measured = dict.fromkeys(Row(cell.arm, cell.decoder) for cell in results.measured)
    aligned = [row for row in measured if row.arm.alignment != NONE]
    covered = {Row(_base(row.arm), row.decoder) for row in aligned}
    return [row for row in measured if row not in covered]


def _base(arm: Arm) -> Arm:
    return arm._replace(alignment=NONE)


def states(results: Results) -> list[str]:
    """Columns: base, aligned, then the attacks in the order of the grid's lists."""
    attacks = [attack for block in results.config.grid for attack in block.attacks]
    found = {state_of(cell.arm, cell.attack) for cell in results.measured}
    return [s for s in dict.fromkeys(("base", "aligned", *attacks)) if s in found]


def cell_of(config: Config, row: Row, state: str) -> Cell | None:
    """The attack-success cell of a row and column; None for the aligned state of a base model."""
    if state == "aligned" and row.arm.alignment == NONE:
        return None
    arm = _base(row.arm) if state == "base" else row.arm
    attack = NONE if state in ("base", "aligned") else state
    return success_cell(config, arm, attack, row.decoder)


def view(results: Results, row: Row, state: str) -> View | None:
    """All numbers of one row and column; None where nothing was measured."""
    cell = cell_of(results.config, row, state)
    if cell is None:
        return None
    over_refusal, capability = beside(results, cell)
    knowledge = _level(results, cell, "knowledge", cell.split)
    success = results.level(cell)
    if not any((success, over_refusal, capability, knowledge)):
        return None
    shown = is_shown(results, cell)
    others = results.config.report.generalisation_splits if shown else []
    halves = [f"{cell.split}/{half}" for half in ("seen", "unseen")] if shown else []
    return View(
        success if shown else None,
        results.level(cell._replace(metric="refused")),
        over_refusal,
        capability,
        knowledge,
        _sides(results, cell, halves),
        _sides(results, cell, others),
        results.num_collapsed(cell),
    )


def _level(results: Results, cell: Cell, role: Role, split: str) -> Level | None:
    evaluation = evaluation_of(results.config, role)
    if evaluation is None:
        return None
    metric = cell_metric(results.config, evaluation)
    return results.level(cell._replace(evaluation=evaluation, split=split, metric=metric))


def _sides(results: Results, cell: Cell, splits: list[str]) -> list[Side]:
    levels = [(split, results.level(cell._replace(split=split))) for split in splits]
    return [Side(split.split("/")[-1], level) for split, level in levels if level is not None]


def success_cell(config: Config, arm: Arm, attack: str, decoder: str) -> Cell:
    """Attack success on the headline split."""
    evaluation = evaluation_of(config, "compliance") or "asr"
    return Cell(arm, attack, decoder, evaluation, config.report.headline_split, "attack_success")


def state_of(arm: Arm, attack: str) -> str:
    """The column of the table: base, aligned, or the attack."""
    if attack != NONE:
        return attack
    return "base" if arm.alignment == NONE else "aligned"


def beside(results: Results, cell: Cell) -> tuple[Level | None, Level | None]:
    """Over-refusal and capability of a cell's model, attack and decoder."""
    return (
        _level(results, cell, "over_refusal", "all"),
        _level(results, cell, "capability", "all"),
    )


def is_shown(results: Results, cell: Cell) -> bool:
    """True if the success was measured and may be shown: both others were measured too."""
    return cell in results.measured and None not in beside(results, cell)


def check_headline(results: Results) -> None:
    """Check that the headline split was asked; else ValueError names the splits."""
    evaluation = evaluation_of(results.config, "compliance")
    splits = {cell.split for cell in results.measured if cell.evaluation == evaluation}
    headline = results.config.report.headline_split
    if splits and headline not in splits:
        known = ", ".join(sorted(split for split in splits if "/" not in split))
        raise ValueError(
            f"report.headline_split: '{headline}' is no split of evaluation '{evaluation}'; "
            f"allowed: {known}"
        )


def seeds_word(count: int) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} seed{'' if count == 1 else 's'}"


def seeds_sentence(results: Results) -> str:
    """Say over what the intervals are, for every page that shows some."""
    num_seeds = len(results.config.seeds)
    names = ", ".join(map(str, results.config.seeds))
    if num_seeds >= MIN_SEEDS:
        return (
            f"{seeds_word(num_seeds)} ({names}). Intervals are 95 %, over seeds (Student's t; "
            "differences paired by seed; Holm over arms in table.csv); where all seeds agree "
            "exactly, within seeds, clustered by hazard."
        )
    return (
        f"{seeds_word(num_seeds)} ({names}): there is NO interval over seeds (that takes "
        f"{MIN_SEEDS}). Intervals are 95 % within seeds, clustered by hazard; they say nothing "
        "about how another training run would come out."
    )
