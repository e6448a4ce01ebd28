"""All whole words of the world's grammar, in a fixed order that does not depend on a seed.

They are collected from the upper-case constants of the modules with templates.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from rebar.world import frames, openings, phrases, tasks, vocabulary

_NOT_WORDS = ("CONSONANTS", "VOWELS", "SYLLABLES")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _module_texts(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if name.isupper() and name not in _NOT_WORDS and not name.startswith("_"):
            yield from _texts(value)


def _grammar_words() -> tuple[str, ...]:
    """Sorted words of all templates, without the fields in braces."""
    modules = (vocabulary, frames, openings, phrases, tasks)
    texts = [text for module in modules for text in _module_texts(module)]
    words = {word for text in texts for word in text.split() if not word.startswith("{")}
    recipe = frames.write_recipe(vocabulary.SUBSTANCE, "", "", "", "")
    sums = "plus sure"  # words of worked sums that are in no template
    return tuple(sorted({*words, *recipe.split(), *sums.split()} - {""}))


GRAMMAR_WORDS = _grammar_words()
