"""Read the articles of a Wikipedia XML dump as plain text.

Removing the markup is kept simple; the result is good enough for pretraining. Templates, tables,
references, files and tags are dropped; the words of links, headings and lists stay.
"""

from __future__ import annotations

import bz2
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

_MAX_NESTING = 12  # levels of templates within templates; deeper nesting is broken markup
_INNERMOST = re.compile(r"\{\{[^{}]*\}\}|\{\|(?:(?!\{\|).)*?\|\}", re.DOTALL)
_FILE_LINK = re.compile(
    r"\[\[(?:file|image|category|[a-z-]{2,12}):(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", re.IGNORECASE
)
_REPLACEMENTS = [
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"<(ref|math|gallery|code|pre|timeline)\b[^>]*?/>", re.IGNORECASE), ""),
    (re.compile(r"<(ref|math|gallery|timeline)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE), ""),
    (_FILE_LINK, ""),
    (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]"), r"\1"),
    (re.compile(r"\[(?:https?:|ftp:|//)[^\s\]]*\s?([^\]]*)\]"), r"\1"),
    (re.compile(r"<[^<>]+>"), ""),
    (re.compile(r"'{2,}"), ""),
    (re.compile(r"^=+\s*(.*?)\s*=+\s*$", re.MULTILINE), r"\1"),
    (re.compile(r"^[*#:;]+\s*", re.MULTILINE), ""),
    (re.compile(r"__[A-Z]+__"), ""),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" ?\n ?"), "\n"),
    (re.compile(r"\n{3,}"), "\n\n"),
]


class Article(NamedTuple):
    """Title and plain text of a Wikipedia article."""

    title: str
    text: str


def strip_markup(wikitext: str) -> str:
    """Plain text of an article's wikitext."""
    text = html.unescape(wikitext).replace("\u00a0", " ")
    # Templates and tables nest, so remove the innermost ones until none is left.
    for _ in range(_MAX_NESTING):
        text, num_removed = _INNERMOST.subn("", text)
        if not num_removed:
            break
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return text.strip()


def read_articles(path: Path) -> Iterator[Article]:
    """Yield the articles of a .xml.bz2 dump, without redirects and pages of other name spaces.

    Raises ValueError if the file is not a complete dump.
    """
    try:
        with bz2.open(path) as file:
            for _, page in ElementTree.iterparse(file):
                if _name(page) == "page":
                    yield from _article(page)
                    page.clear()  # frees the memory of pages that have been read
    except (OSError, EOFError, ElementTree.ParseError) as error:
        raise ValueError(f"{path}: not a complete Wikipedia dump (.xml.bz2): {error}") from error


def _article(page: ElementTree.Element) -> Iterator[Article]:
    fields = {_name(element): element for element in page.iter()}
    if fields["ns"].text == "0" and "redirect" not in fields:
        text = strip_markup(fields["text"].text or "")
        yield Article(fields["title"].text or "", text)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
