"""Files of sources: plain paths, globs, and files inside installed packages."""

from __future__ import annotations

from collections.abc import Iterable
from glob import glob
from pathlib import Path
from typing import Any

from rebar.files import PACKAGE, resolve


def find_files(patterns: list[str]) -> list[Path]:
    """Files of all patterns in a fixed order, each once; ValueError for a pattern without files."""
    files: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(
            path for path in map(Path, glob(resolve(pattern), recursive=True)) if path.is_file()
        )
        if not matches:
            raise ValueError(f"paths: no file matches '{pattern}'; give files or globs that exist")
        files |= dict.fromkeys(matches)
    return list(files)


def input_files(sources: Iterable[Any]) -> list[Path]:
    """Local files of the sources: what Snakemake watches. Files of packages are in the spec."""
    patterns = [path for source in sources for path in getattr(source, "paths", [])]
    return find_files([path for path in patterns if not path.startswith(PACKAGE)])
