"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.config import Config, load_config

ROOT = Path(__file__).parent.parent


@pytest.fixture
def smoke() -> Config:
    return load_config(ROOT / "config/smoke.yaml")
