"""What is in the files that a job's settings name.

Their content is part of the job's spec, so that editing one makes exactly those jobs run again that
read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rebar.config.paths import matching_files, resolve
from rebar.jobs.manifest import digest, fingerprint

# Keys of the settings whose value is a file, a folder, or an id of the Hub. (Documents of `collect`
# and prompt templates that Snakemake itself watches are here too, or not at all.)
FILE_KEYS = (
    *("path", "paths", "dataset", "initial_model", "model", "encoder", "tokenizer"),
    *("template_file", "sheets"),
)


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
    files = matching_files(str(place))
    return fingerprint([[p.name, digest(p)] for p in files]) if files else ""
