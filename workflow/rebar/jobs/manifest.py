"""Manifests: the small deterministic files that are the edges of the DAG.

A manifest lists the files beside it with size and SHA-256, the inputs' manifests by digest, the
settings and the code that made them, and counts. It has no time stamps: equal content is an equal
file. Output folders fill by renames, the manifest last, so a manifest that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
UNTRACKED = ("costs.json", MANIFEST)  # times differ from run to run
KEYS = ("spec", "inputs", "files", "counts")


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(values: Any) -> str:
    """SHA-256 of a JSON value with sorted keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole whenever it exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.unfinished")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block succeeds, its files take `folder`'s place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{folder.name}.unfinished"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    yield temporary
    assert (temporary / MANIFEST).exists(), f"{folder}: no manifest was written"
    _take_place(temporary, folder)


def _take_place(temporary: Path, folder: Path) -> None:
    """Move files over one by one, the manifest last; what was not remade goes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    new = {p.name for p in temporary.iterdir()}
    for old in folder.iterdir():
        if old.is_dir() and (old / MANIFEST).exists() and old.name not in new:
            continue  # another item's folder, with a manifest of its own
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in sorted(temporary.iterdir(), key=lambda p: p.name == MANIFEST):
        os.replace(path, folder / path.name)
    temporary.rmdir()


def write_manifest(
    folder: Path,
    *,
    spec: Mapping[str, Any],
    inputs: Mapping[str, Path] | None = None,
    counts: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Describe all files now in `folder`.

    `spec` is what made them (stage, wildcards, settings, code); `inputs` maps a name to the
    manifest or source file that was read; `counts` are documents, tokens, rows; `facts` anything
    else small.
    """
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNTRACKED
    }
    digests = {name: digest(path) for name, path in sorted((inputs or {}).items())}
    content = {"spec": spec, "inputs": digests, "files": files, "counts": dict(counts or {})}
    text = json.dumps({**content, **facts}, indent=1, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path, *, verify: bool = False) -> dict[str, Any]:
    """The manifest of a folder, after checking that its files are there whole.

    `verify` also compares hashes. ValueError names the file and how to remake it.
    """
    content = load_manifest(folder)
    for problem in _damaged_files(folder, content["files"], verify):
        raise ValueError(f"{problem}; {remake(folder)}")
    return content


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone, without a look at its files; ValueError if it is missing or broken."""
    try:
        return _parse(folder)
    except ValueError as error:
        raise ValueError(f"{error}; {remake(folder)}") from error


def damages(folder: Path, *, verify: bool) -> Iterator[str]:
    """One sentence for the manifest or each file that is not whole; `verify` compares hashes."""
    try:
        files = _parse(folder)["files"]
    except ValueError as error:
        yield str(error)
    else:
        yield from _damaged_files(folder, files, verify)


def _damaged_files(folder: Path, files: dict[str, Any], verify: bool) -> Iterator[str]:
    for name, entry in files.items():
        file = folder / name
        if not file.exists() or file.stat().st_size != entry["bytes"]:
            yield f"{file} is missing or not {entry['bytes']} bytes long"
        elif verify and digest(file) != entry["sha256"]:
            yield f"{file} does not have the recorded SHA-256"


def _parse(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        raise ValueError(f"{path} is missing")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is broken ({error})") from error
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path} is broken (no {', '.join(missing)} in it)")
    return content


def find_manifests(root: Path) -> Iterator[Path]:
    """Manifests of all finished folders below `root`, by path."""
    for path in sorted(root.rglob(MANIFEST)):
        if not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path


def remake(folder: Path) -> str:
    """How to make a folder again.

    An item of a job (an attacked model) is made by the job, whose manifest lies above it; the job
    skips items that look whole, so the item's own manifest goes first.
    """
    path, job = folder / MANIFEST, folder.parent / MANIFEST
    command = "snakemake --profile profiles/local --force --"
    if job.exists():
        return f"remake it: rm -f {path}; {command} {job}"
    return f"remake it: {command} {path}"


def is_valid(folder: Path, spec: Mapping[str, Any], inputs: Mapping[str, Path]) -> bool:
    """True if the folder was made by this spec from these inputs and its files are whole."""
    try:
        content = read_manifest(folder)
    except ValueError:
        return False
    digests = {name: digest(path) for name, path in inputs.items() if path.exists()}
    return content["spec"] == json.loads(json.dumps(spec)) and content["inputs"] == digests
