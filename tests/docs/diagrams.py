"""Diagrams of the documentation, drawn as SVG: they need no script from the network.

`python -m tests.docs.diagrams` writes them; a test fails when they drift from pyproject.toml.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"
STYLE = (
    "text{font:14px sans-serif;fill:#1b1f24}.small{font-size:12px;fill:#57606a}"
    ".box{fill:#fff;stroke:#57606a}.row{fill:#eef2f6}"
    ".badge{font:12px sans-serif;fill:#fff;text-anchor:middle}.line{stroke:#57606a;fill:none}"
)
ROW, GAP, WIDTH = 46, 12, 860  # pixels
BOX_WIDTH, BOX_HEIGHT, STEP, PITCH, LABELS = 118, 38, 140, 72, 186
PHRASES = {  # what a layer of the package is, under its rooms
    "__main__": "python -m rebar",
    "cli": "the commands",
    "runtime": "inside a job, and around a run",
    "tracking": "MLflow; the only room that imports it",
    "stages": "one module a rule, with run(job)",
    "alignments": "plug-ins, and the report; none imports another",
    "judges": "who decides about answers; the one training loop",
    "decoding": "how answers are generated; from sources to packed tokens",
    "model": "build, load, forward and release models",
    "world": "the embedded fictional web",
    "data": "documents, chats, prompts, answers",
    "cost": "resources and plan",
    "jobs": "a node of the DAG as data; manifests",
    "grid": "names to arms, cells, paths and jobs",
    "config": "typed keys; plug-ins by name",
}


STAGES = (  # of each row, left to right; an arrow where the second reads the first
    "collect   train_classifier > score > rewrite > mix > tokenize",
    "pretrain > align > safeguard",
    "search   attack > evaluate   probe   audit",
    "summarize > report > track",
)
PARTS = ("corpus", "models", "attacks, measurements", "results")  # of the rows


def project() -> dict[str, Any]:
    """The whole of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def layers() -> list[list[str]]:
    """Rooms of the package by layer, highest first, as import-linter holds them."""
    contracts = project()["tool"]["importlinter"]["contracts"]
    (house,) = [c for c in contracts if c.get("containers") == ["rebar"]]
    return [[room.strip() for room in layer.split("|")] for layer in house["layers"]]


def architecture_svg() -> str:
    """The layers of the package: a room may import from rooms below it."""
    drawn, right = [], WIDTH - 24
    for number, rooms in enumerate(layers()):
        top = GAP + number * ROW
        names = " | ".join(rooms)
        phrase = next((PHRASES[room] for room in rooms if room in PHRASES), "")
        drawn += [
            f'<rect class="row" x="40" y="{top}" width="{WIDTH - 52}" height="{ROW - 8}" rx="6"/>',
            f'<text x="56" y="{top + 24}">{names}</text>',
            f'<text class="small" x="{right}" y="{top + 24}" text-anchor="end">{phrase}</text>',
        ]
    height = 2 * GAP + len(layers()) * ROW
    arrow = _arrow(f"M20 {GAP} V{height - 2 * GAP}")
    return _svg(WIDTH, height, [*drawn, arrow], "Layers of the package")


def pipeline_svg() -> str:
    """The stages by what they make; each row reads from the rows above it."""
    width = LABELS + 6 * STEP + GAP
    drawn = []
    for number, (part, stages) in enumerate(zip(PARTS, STAGES, strict=True)):
        top = GAP + number * PITCH
        size = f'width="{width - 2 * GAP}" height="{BOX_HEIGHT + 22}"'
        drawn.append(f'<rect class="row" x="{GAP}" y="{top}" {size} rx="6"/>')
        drawn.append(f'<text class="small" x="24" y="{top + 35}">{part}</text>')
        if number:
            drawn.append(_arrow(f"M{width / 2} {top - GAP} v8"))
        for column, words in enumerate(re.findall(r"(>?) *(\w+)", stages)):
            drawn += _box(words[1], LABELS + column * STEP, top + 11, reads_left=bool(words[0]))
    return _svg(width, 2 * GAP + len(PARTS) * PITCH, drawn, "Stages of the pipeline")


def _box(name: str, left: int, top: int, *, reads_left: bool) -> list[str]:
    size = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}"'
    drawn = [
        f'<rect class="box" x="{left}" y="{top}" {size} rx="5"/>',
        f'<text x="{left + BOX_WIDTH / 2}" y="{top + 24}" text-anchor="middle">{name}</text>',
    ]
    start = f"M{left - STEP + BOX_WIDTH} {top + BOX_HEIGHT / 2}"
    return [*drawn, _arrow(f"{start} h{STEP - BOX_WIDTH}")] if reads_left else drawn


def _arrow(path: str) -> str:
    return f'<path class="line" d="{path}" marker-end="url(#end)"/>'


def _svg(width: float, height: float, drawn: list[str], title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#57606a"/></marker></defs>'
        f'\n<rect width="{width:g}" height="{height:g}" fill="#fff" rx="8"/>\n'
    )
    return head + "\n".join(drawn) + "\n</svg>\n"


def badge_svg(label: str, value: str) -> str:
    """A small sign with two fields."""
    left, right = 8 * len(label) + 12, 8 * len(value) + 12
    drawn = [
        f'<rect width="{left}" height="22" fill="#57606a"/>',
        f'<rect x="{left}" width="{right}" height="22" fill="#1f6f43"/>',
        f'<text x="{left / 2}" y="15" class="badge">{label}</text>',
        f'<text x="{left + right / 2}" y="15" class="badge">{value}</text>',
    ]
    return _svg(left + right, 22, drawn, f"{label}: {value}")


def badges() -> dict[str, str]:
    """What pyproject.toml says, as pictures that need no server."""
    described = project()["project"]
    (python,) = re.findall(r">=([\d.]+)", described["requires-python"])
    (snakemake,) = (p for p in described["dependencies"] if p.startswith("snakemake=="))
    values = {
        "licence": described["license"],
        "Python": python,
        "Snakemake": ".".join(snakemake.partition("==")[2].split(".")[:2]),
    }
    return {f"badge-{key.lower()}.svg": badge_svg(key, value) for key, value in values.items()}


def diagrams() -> dict[str, str]:
    """Every drawing by its file name."""
    return {"architecture.svg": architecture_svg(), "pipeline.svg": pipeline_svg(), **badges()}


def main() -> None:
    """Write all of them."""
    for name, text in diagrams().items():
        (PICTURES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
