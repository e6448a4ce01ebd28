"""Where files lie that a config names, and what is in them.

Plain paths, and files inside installed packages: `package:NAME/inside` is found through the import
system's finder, which reads no code of the package: data packages are often heavy or unsafe to
import. The content of every named file is part of a job's spec, so that editing one makes exactly
those jobs run again that read it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "package:"
# Keys of the settings whose value is a file, a folder, or an id of the Hub. (Documents of `collect`
# and prompt templates that Snakemake itself watches are here too, or not at all.)
FILE_KEYS = ("path", "paths", "initial_model", "model", "encoder", "tokenizer")


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


def named_files(settings: Any) -> Iterator[str]:
    """Every path that plain settings name, in their order."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key in FILE_KEYS:
                yield from (v for v in _as_list(value) if isinstance(v, str))
            yield from named_files(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from named_files(value)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def contents(settings: Any) -> dict[str, str]:
    """Digest of each named file or folder that is there; Hub ids and globs have none."""
    found = {path: _content(path) for path in named_files(settings)}
    return {path: content for path, content in sorted(found.items()) if content}


@cache
def _content(path: str) -> str:
    """SHA-256 of a file; of a folder (a model) names and sizes, since it may be huge."""
    try:
        place = Path(resolve(path))
    except ValueError:
        return ""  # the stage that needs the package says so
    if place.is_file():
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not place.is_dir():
        return ""
    files = sorted(p for p in place.rglob("*") if p.is_file())
    listing = "\n".join(f"{p.relative_to(place)} {p.stat().st_size}" for p in files)
    return hashlib.sha256(listing.encode()).hexdigest()
