"""The commands that the rules of the workflow call: one per stage, and one for the store."""

from __future__ import annotations

import argparse
import importlib
import textwrap
from pathlib import Path
from typing import Any

from rebar import grid
from rebar.runtime.run_job import run_stage

STORE = "tracking_db"


def add_stages(commands: Any) -> None:
    """Add the stages; without a help text, so that they are listed by `stages_text` only."""
    for stage in grid.STAGES:
        command = commands.add_parser(stage, description=f"Run one job of the stage {stage}.")
        _add_results(command)
        command.add_argument("--job", required=True, help="the job as JSON, or @FILE")
        command.add_argument(
            "--gpus", type=int, help="most GPUs to use; default: all that it finds"
        )
        command.set_defaults(run=run_stage, stage=stage)
    command = commands.add_parser(STORE, description="Create the MLflow store.")
    _add_results(command)
    command.set_defaults(run=_create_store)


def stages_text() -> str:
    """The stages in the order of the workflow, as a group of the help."""
    names = textwrap.fill(", ".join((*grid.STAGES, STORE)), 78, initial_indent="  ",
                          subsequent_indent="  ")  # fmt: skip
    return f"stages, called by the rules of the workflow with a job as JSON:\n{names}"


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument("--results", type=Path, required=True, help="results/<name>")


def _create_store(options: argparse.Namespace) -> None:
    importlib.import_module("rebar.tracking.store").create_store(options.results)  # imports mlflow
