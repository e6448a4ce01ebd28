"""Where files lie that a config names, and what is in them.

Plain paths, and files inside installed packages: `package:NAME/inside` is found through the import
system's finder, which reads no code of the package: data packages are often heavy or unsafe to
import. The content of every named file is part of a job's spec, so that editing one makes exactly
those jobs run again that read it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from rebar.jobs.manifest import digest, fingerprint

PACKAGE = "package:"
# Keys of the settings whose value is a file, a folder, or an id of the Hub. (Documents of `collect`
# and prompt templates that Snakemake itself watches are here too, or not at all.)
FILE_KEYS = (
    *("path", "paths", "dataset", "initial_model", "model", "encoder", "tokenizer"),
    *("template_file", "sheets"),
)


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
        matches = _matches(resolve(pattern))
        if not matches:
            raise ValueError(f"paths: no file matches '{pattern}'; give files or globs that exist")
        files |= dict.fromkeys(matches)
    return list(files)


def _matches(pattern: str) -> list[Path]:
    return sorted(path for path in map(Path, glob(pattern, recursive=True)) if path.is_file())


def input_files(sources: Iterable[Any]) -> list[Path]:
    """Local files of the sources: what Snakemake watches. Files of packages are in the spec."""
    patterns = [path for source in sources for path in getattr(source, "paths", [])]
    return find_files([path for path in patterns if not path.startswith(PACKAGE)])


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
    """Digest of each named file, glob or folder that is there; Hub ids have none."""
    found = {path: _content(path) for path in named_files(settings)}
    return {path: content for path, content in sorted(found.items()) if content}


@cache
def _content(path: str) -> str:
    """SHA-256 of a file, of all files of a glob; of a folder names and sizes: models are huge."""
    try:
        place = Path(resolve(path))
    except ValueError:
        return ""  # the stage that needs the package says so
    if place.is_file():
        return digest(place)
    if place.is_dir():
        files = sorted(p for p in place.rglob("*") if p.is_file())
        return fingerprint([[str(p.relative_to(place)), p.stat().st_size] for p in files])
    files = _matches(str(place))
    return fingerprint([[p.name, digest(p)] for p in files]) if files else ""
