"""`python -m rebar pin`: the commits of the Hub repositories that a config names."""

from __future__ import annotations

import argparse
from typing import Any


def add_hub_commands(commands: Any) -> None:
    """Add the command that asks the Hub."""
    command = commands.add_parser("pin", help="print the current commit of each unpinned Hub id")
    command.add_argument("--configfile", required=True, help="a file of config/")
    command.set_defaults(run=_pin)


def _pin(options: argparse.Namespace) -> None:
    from rebar.config.file import load_config
    from rebar.grid.hub_access import hub_ids, pins

    config = load_config(options.configfile)
    found = list(pins(config))
    for hub_id, commit in found:
        print(f"{hub_id.revision_key}: {commit}  # {hub_id.name}")
    num_ids = len(hub_ids(config))
    print(f"# {num_ids - len(found)} of {num_ids} ids are pinned in {options.configfile}")
