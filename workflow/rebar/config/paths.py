"""Where files lie that a config names.

Plain paths, and files inside installed packages: `package:NAME/inside` is found through the import
system's finder, which reads no code of the package: data packages are often heavy or unsafe to
import.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from glob import glob
from pathlib import Path
from typing import Any

PACKAGE = "package:"


def resolve(path: str) -> str:
    """The path with `package:NAME` replaced by the package's folder; others unchanged.

    ValueError if the package is not installed.
    """
    if not path.startswith(PACKAGE):
        return path
    name, _, inside = path.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{path}: no package '{name}' is installed; install it (pip install --no-deps ...) "
            f"or give a path like {PACKAGE}NAME/inside/file"
        )
    return str(Path(spec.submodule_search_locations[0]) / inside)


def find_files(patterns: list[str]) -> list[Path]:
    """Files of all patterns in a fixed order, each once; ValueError for a pattern without files."""
    files: dict[Path, None] = {}
    for pattern in patterns:
        matches = matching_files(resolve(pattern))
        if not matches:
            raise ValueError(f"paths: no file matches '{pattern}'; give files or globs that exist")
        files |= dict.fromkeys(matches)
    return list(files)


def matching_files(pattern: str) -> list[Path]:
    """Files that a glob matches, sorted; none if there are none."""
    return sorted(path for path in map(Path, glob(pattern, recursive=True)) if path.is_file())


def input_files(sources: Iterable[Any]) -> list[Path]:
    """Local files of the sources: what Snakemake watches. Files of packages are in the spec."""
    patterns = [path for source in sources for path in getattr(source, "paths", [])]
    return find_files([path for path in patterns if not path.startswith(PACKAGE)])
