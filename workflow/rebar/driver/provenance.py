"""Snakemake's records in git, so that a clone with pulled results has nothing to do.

`provenance/<name>/` holds the records of finished outputs (parameters, checksums of inputs) under
Snakemake's own file names; `contents.json` notes the content of each output that its record tells
of. A record comes back only beside that very content, so it can hide no run that is needed.
"""

from __future__ import annotations

import json
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from rebar import grid
from rebar.config.file import Config
from rebar.grid import dag
from rebar.jobs.job import make_job
from rebar.jobs.manifest import MANIFEST, damages, digest, fingerprint, load_manifest

KEPT, RECORDS = Path("provenance"), Path(".snakemake/metadata")
CONTENTS = "contents.json"
GRID_FILES = (*(f for stage in grid.STAGES.values() for f in stage.files), "tracking_db.json")


def restore() -> None:
    """Give Snakemake the records that git brought after its own, where the outputs are theirs."""
    for index in sorted(KEPT.glob(f"*/{CONTENTS}")):
        for output, content in json.loads(index.read_text(encoding="utf-8")).items():
            kept, own = index.parent / _name(output), RECORDS / _name(output)
            if _is_newer(kept, own) and _content(Path(output)) == content:
                own.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(kept, own)


def problems(config: Config, root: Path, target: str) -> Iterator[tuple[Path, str]]:
    """Folders and files of a target that are not what the config asks for, with a sentence."""
    for place in _jobs(config, target):
        stage, names = dag.node(place)
        folders = [root / folder for folder in (place, *dag.items(config, place))]
        sentences = [(f, text) for f in folders for text in damages(f, verify=False)]
        yield from sentences
        spec = json.loads(json.dumps(make_job(config, root, stage, **names).spec))
        if not sentences and load_manifest(root / place)["spec"] != spec:
            yield root / place, f"{root / place} was made by other settings or code"
    for file in GRID_FILES if target == "all" else ():
        if not (root / file).exists():
            yield root / file, f"{root / file} is missing"
        elif not (RECORDS / _name(str(root / file))).exists():
            yield root / file, f"Snakemake has no record of how {root / file} was made"


def save(config: Config, root: Path, target: str) -> None:
    """Copy the records of a target's outputs; drop those of outputs that the grid has no more."""
    folder = KEPT / config.name
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / CONTENTS
    contents = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    for output in _outputs(config, root, target):
        if (RECORDS / _name(output)).exists():
            (folder / _name(output)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(RECORDS / _name(output), folder / _name(output))
            contents[output] = _content(Path(output))
    ours = {output for each in grid.TARGETS for output in _outputs(config, root, each)}
    contents = {output: content for output, content in contents.items() if output in ours}
    index.write_text(json.dumps(contents, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    named = {index, *(folder / _name(output) for output in contents)}
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        if file not in named:
            file.unlink()
    # DVC demands the folders that it versions, also of a grid without attacks.
    for stage in grid.stages_of_target(target):
        (root / grid.STAGES[stage].top).mkdir(exist_ok=True)


def _jobs(config: Config, target: str) -> list[Path]:
    return dag.jobs(dag.all_jobs(config), *grid.stages_of_target(target))


def _outputs(config: Config, root: Path, target: str) -> list[str]:
    """What a target adds, as Snakemake names it."""
    files = GRID_FILES if target == "all" else [p / MANIFEST for p in _jobs(config, target)]
    return [str(root / file) for file in files]


def _is_newer(kept: Path, own: Path) -> bool:
    if not kept.exists():
        return False
    return not own.exists() or kept.stat().st_mtime_ns > own.stat().st_mtime_ns


def _content(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents in a folder; empty where there is none."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return fingerprint({str(file.relative_to(path)): digest(file) for file in files})
    return digest(path) if path.exists() else ""


def _name(output: str) -> str:
    """Snakemake's name for an output's record: base64 in pieces that a file system allows."""
    code = urlsafe_b64encode(output.encode()).decode()
    pieces = [code[i : i + 254] for i in range(0, len(code), 254)]
    return "/".join([*(f"@{piece}" for piece in pieces[:-1]), pieces[-1]])
