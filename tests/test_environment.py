"""Pins stand in one place and are copied truthfully."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def test_the_environment_has_the_pins_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "envs/rebar.yaml").read_text())
    assert environment["dependencies"][-1]["pip"] == project["dependencies"]
    assert all("==" in pin for pin in project["dependencies"])
