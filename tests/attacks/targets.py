"""Models under attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rebar.attacks._data import AttackData
from rebar.attacks._target import Target
from tests.model.tiny import recorder


def target(model: Any, tokenizer: Any, data: AttackData, folder: Path) -> Target:
    """All that an attack writes lies in one folder."""
    return Target(model, tokenizer, data, recorder(folder), folder, folder)
