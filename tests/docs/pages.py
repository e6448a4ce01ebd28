"""The pages that people read, and what stands in them."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TUTORIAL = "docs/tutorial.md"


class CodeBlock(NamedTuple):
    """A fenced block: its language, empty for commands and trees, and its text."""

    language: str
    text: str


@cache
def tracked_files() -> tuple[str, ...]:
    """Paths that git has or would take, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())


def written_pages() -> list[str]:
    """Markdown written by hand: the root's files and the site's pages, not the generated ones."""
    pages = [name for name in tracked_files() if name.endswith(".md")]
    here = [name for name in pages if "/" not in name or name.startswith("docs/")]
    return [name for name in here if not name.startswith("docs/configuration/")]


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def code_blocks(page: str) -> list[CodeBlock]:
    """The fenced blocks of a page, in order."""
    found = re.findall(r"^```([\w-]*)[^\n]*\n(.*?)^```$", read(page), re.DOTALL | re.MULTILINE)
    return [CodeBlock(language, text) for language, text in found]


def prose(page: str) -> str:
    """A page without its fenced blocks and code words, which hold no links."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


def links(page: str) -> list[str]:
    """Targets of links and images that lie in the project, without their anchors."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def commands(page: str) -> list[str]:
    """Lines of a page's blocks that can be run here, without their remarks."""
    blocks = [block.text for block in code_blocks(page) if not block.language]
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(("snakemake ", "python -m rebar "))]


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings, as forges and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", read(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}
