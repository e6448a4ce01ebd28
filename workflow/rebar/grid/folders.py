"""Names of a job in words, paths and lock files, and back from a folder to who made it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rebar.grid.arms import Names
from rebar.grid.nodes import Node, twin_node
from rebar.grid.stages import STAGES, folder_of

# What a folder belongs to, widest first: the order of names in paths, labels and run names.
LINEAGE = ("seed", "recipe", "safeguard", "alignment", "attack", "probe")


def label(stage: str, wildcards: Names) -> str:
    """A job in words, like `pretrain 11/raw/none`."""
    names = [str(wildcards[key]) for key in (*LINEAGE, "shard") if key in wildcards]
    return f"{stage} {'/'.join(names)}".strip()


def typed(wildcards: Mapping[str, Any]) -> dict[str, Any]:
    """Names as a path spells them, with seed and shard as numbers."""
    return {k: int(v) if k in ("seed", "shard") else str(v) for k, v in wildcards.items()}


def lock_file(stage: str, wildcards: Names) -> Path:
    """The file that a job keeps locked while it works, relative to results/<name>."""
    return Path("locks") / (label(stage, wildcards).replace(" ", "-").replace("/", "-") + ".lock")


def twin_folder(seed: int, twin: str) -> Path:
    """The model that a part of a safeguard is compared with: `recipe`, or `recipe/alignment`."""
    return folder_of(twin_node(seed, twin))


def node(folder: Path) -> Node:
    """The job whose folder this is; ValueError if it is none's."""
    for stage, pattern in _folder_patterns().items():
        if found := pattern.fullmatch(str(folder)):
            return Node(stage, typed(found.groupdict()))
    folders = ", ".join(stage.folder for stage in STAGES.values() if stage.folder)
    raise ValueError(f"{folder} is the folder of no job; jobs write {folders}")


@cache
def _folder_patterns() -> dict[str, re.Pattern[str]]:
    return {
        name: re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", stage.folder))
        for name, stage in STAGES.items()
        if stage.folder
    }


def maker(folder: Path) -> tuple[str, bool]:
    """The stage that makes a folder, and whether it is an item of a job instead of a job's own."""
    for name, pattern in _folder_patterns().items():
        if pattern.fullmatch(str(folder)):
            return name, False
    for name, stage in STAGES.items():
        if stage.items and stage.top == folder.parts[0]:
            return name, True
    raise ValueError(f"{folder} is the folder of no job and of no item of a job")
