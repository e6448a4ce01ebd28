"""The command line: `python -m rebar COMMAND`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rebar.cli.grids import add_grid_commands
from rebar.cli.hub import add_hub_commands
from rebar.cli.stages import add_stages, stages_text
from rebar.tracking.ui import serve_ui

DESCRIPTION = "Build, attack and compare safety-pretrained language models."


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run the command; a ValueError becomes one message and exit 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    """Commands for people are listed first; the stages, which the rules call, stand at the end."""
    parser = argparse.ArgumentParser(
        prog="python -m rebar",
        usage="python -m rebar COMMAND ...  (COMMAND --help explains it)",
        description=DESCRIPTION,
        epilog=stages_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_grid_commands(commands)
    _add_project_commands(commands)
    add_hub_commands(commands)
    add_stages(commands)
    return parser


def _add_project_commands(commands: Any) -> None:
    """Commands that need no config."""
    command = commands.add_parser("ui", help="open the MLflow UI on the project's store")
    command.add_argument("--port", type=int, default=5000, help="port to listen on (5000)")
    command.set_defaults(run=lambda options: serve_ui(options.port))
    command = commands.add_parser("schema", help="write the schema and the pages of config keys")
    command.set_defaults(run=_write_schema)


def _write_schema(options: argparse.Namespace) -> None:
    from rebar.config.reference import write_schema

    for path in write_schema(Path(".")):
        print(f"wrote {path}")
