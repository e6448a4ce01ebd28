"""Audit: agreement of the judges with people and with each other.

Every judge that works from the text of an answer judges the labelled files. Filled sheets are
compared with the stored verdicts. Second judges judge stored answers once more. No model is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar import grid
from rebar.config.report import Audit
from rebar.config.rows import LabelledFile
from rebar.data.answers import match_labels, read_answers
from rebar.data.prompts import Prompt
from rebar.jobs.job import Job
from rebar.jobs.manifest import read_manifest, write_text
from rebar.judges import judge_of
from rebar.reporting.measures.audit import PEOPLE, Agreement, Said, agree, audit_csv, question_of
from rebar.reporting.measures.sheet import filled_sheet, plain, read_stored, stratified

if TYPE_CHECKING:
    import pandas as pd

EXACT = "world"  # judges by what the prompt's reference says: it has no use for other answers


def run(job: Job) -> None:
    """Write audit.csv."""
    audit = job.section("audit", Audit)
    found = [*_on_labelled(job, audit)]
    if audit.sheets or audit.second_judges:
        folders = [job.root / place for place in job.settings["answers"]]
        for folder in folders:
            read_manifest(folder)
        stored = read_stored(folders, job.root, job.settings["judges"])
        found += [*_on_sheets(audit, stored), *_on_stored(job, audit, stored)]
    write_text(job.root / grid.AUDIT, audit_csv(found))


def _on_labelled(job: Job, audit: Audit) -> Iterator[Agreement]:
    """Run every judge on every file of answers with human labels."""
    for file in audit.labelled:
        answers = read_answers(file)
        prompts, texts = [a.prompt for a in answers], [a.answer for a in answers]
        labels = list(file.labels.values())
        people = [match_labels(a.outcome, labels) for a in answers]
        clusters = [a.prompt.text for a in answers]
        for name, values in job.settings["judges"].items():
            if values["method"] == EXACT:
                continue
            outcomes = [o.outcome for o in judge_of(job.settings, name)(prompts, texts)]
            said = Said(
                [match_labels(o, labels) for o in outcomes], people, clusters, [1.0] * len(texts)
            )
            yield agree(name, PEOPLE, _source(file), question_of(labels), said)


def _source(file: LabelledFile) -> str:
    return Path(file.path).name if file.path else file.hub.dataset if file.hub else ""


def _on_sheets(audit: Audit, stored: pd.DataFrame) -> Iterator[Agreement]:
    """Compare stored verdicts with the labels of filled sheets, evaluation by evaluation."""
    for path in audit.sheets:
        rows = filled_sheet(Path(path), stored)
        for evaluation, judge, part in _by_judge(rows):
            said = Said(*(list(part[n]) for n in ("outcome", "label", "hazard_id", "weight")))
            yield agree(judge, PEOPLE, evaluation, "outcome", said)


def _on_stored(job: Job, audit: Audit, stored: pd.DataFrame) -> Iterator[Agreement]:
    """Run each second judge on stored answers, drawn evenly over models and outcomes."""
    for name in audit.second_judges:
        if job.settings["judges"][name]["method"] == EXACT:
            raise ValueError(
                f"audit.second_judges: '{name}' judges by references that stored answers lack; "
                "name a judge that reads the answer"
            )
        for evaluation, first, part in _by_judge(stored):
            if first == name:
                continue
            rows = stratified(part, audit.answers)
            prompts = [_prompt(row) for row in rows.itertuples()]
            outcomes = [o.outcome for o in judge_of(job.settings, name)(prompts, list(rows.answer))]
            said = Said(list(rows.outcome), outcomes, list(rows.hazard_id), list(rows.weight))
            yield agree(first, name, evaluation, "outcome", said)


def _by_judge(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Group the rows by evaluation and judge, in the order of the rows."""
    for evaluation, judge in dict.fromkeys(zip(rows["evaluation"], rows["judge"], strict=True)):
        chosen = (rows["evaluation"] == evaluation) & (rows["judge"] == judge)
        yield evaluation, judge, rows.loc[chosen]


def _prompt(row: Any) -> Prompt:
    return Prompt(row.prompt_id, row.hazard_id, row.split, row.prompt_style, plain(row.prompt))
