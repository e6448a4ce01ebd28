"""One small world for all tests of the package."""

from __future__ import annotations

import pytest

from rebar.config.world import World as WorldSettings
from rebar.world import World, build_world


@pytest.fixture(scope="session")
def world() -> World:
    """The world of seed 3, full size: drawing it takes milliseconds."""
    return build_world(WorldSettings(), 3)
