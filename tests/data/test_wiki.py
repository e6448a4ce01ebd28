"""Wiki markup becomes plain text."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest

from rebar.data.wiki import Article, read_articles, strip_markup

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">
<page><title>Rain</title><ns>0</ns><revision><text>'''Rain''' is [[wet]].</text></revision></page>
<page><title>Wet</title><ns>0</ns><redirect title="Rain"/><revision><text/></revision></page>
<page><title>Talk:Rain</title><ns>1</ns><revision><text>hm</text></revision></page>
</mediawiki>"""


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a {{b|{{c}}|d}} e", "a e"),
        ("{| class=x\n| cell\n{|\n| inner\n|}\n|}\nafter", "after"),
        ("[[File:x.jpg|thumb|a [[dog]] here]]word", "word"),
        ("the [[sea lion|sea lions]] of [[Rome]]", "the sea lions of Rome"),
        ("see [http://x.org the site] and [http://y.org]", "see the site and "),
        ("fact<ref name=a>{{cite}}</ref> stays<ref name=a/>.", "fact stays."),
        ("== Head ==\n* one\n# two\n: three", "Head\none\ntwo\nthree"),
        ("''a'' '''b''' <b>c</b><!-- d\nd -->", "a b c"),
        ("a&nbsp;b &amp; c", "a b & c"),
        ("a\n\n\n\n\nb __TOC__", "a\n\nb"),
    ],
)
def test_markup_goes_and_words_stay(markup: str, text: str) -> None:
    assert strip_markup(markup) == text.strip()


def test_a_dump_without_redirects_and_talk(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml.bz2"
    path.write_bytes(bz2.compress(DUMP.encode()))
    assert list(read_articles(path)) == [Article("Rain", "Rain is wet.")]


def test_half_a_dump_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml.bz2"
    path.write_bytes(bz2.compress(DUMP.encode())[:-20])
    with pytest.raises(ValueError, match=r"wiki.xml.bz2: not a complete Wikipedia dump"):
        list(read_articles(path))
