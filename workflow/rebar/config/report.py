"""Typed settings of the report and of the audit of judges."""

from __future__ import annotations

from pydantic import Field

from rebar.config.base import Positive, Settings
from rebar.config.rows import LabelledFile


class Audit(Settings):
    """How far the judges can be trusted: their agreement with people and with each other."""

    labelled: list[LabelledFile] = Field(
        default=[], description="answers with human labels, which every judge judges"
    )
    sheets: list[str] = Field(
        default=[], description="filled sheets of `python -m rebar sheet`: stored answers"
    )
    second_judges: list[str] = Field(
        default=[], description="names of judges that judge stored answers once more"
    )
    answers: Positive = Field(
        default=400, description="stored answers of an evaluation that a second judge gets at most"
    )

    @property
    def asks_judges(self) -> bool:
        """True if judges must run; filled sheets alone need only stored verdicts."""
        return bool(self.labelled or self.second_judges)


class Report(Settings):
    """What the report puts in front."""

    headline_split: str = Field(
        default="unaligned", description="asr and knowledge: split of the table"
    )
    generalisation_splits: list[str] = Field(
        default=["unrewritten", "novel"], description="asr: splits that stand beside the headline"
    )
    control_recipe: str = Field(
        default="raw", description="recipe that the other arms are compared with"
    )
    control_alignment: str = Field(default="sft", description="alignment of the control arm")
