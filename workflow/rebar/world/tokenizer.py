"""The world's tokenizer: one token per grammar word, and two-letter syllables for invented names.

It is a Hugging Face fast tokenizer (WordPiece on white space). Its vocabulary depends on the
grammar, not on a seed, and decoding returns exactly the text that was encoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebar.data.special_tokens import SPECIAL_TOKENS, UNKNOWN, build_chat_tokenizer
from rebar.world.lexicon import GRAMMAR_WORDS
from rebar.world.vocabulary import SYLLABLES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MULTIPLE = 64  # the vocabulary's size is a multiple of it: fast matrix products
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %} <user> {{ message['content'] }}"
    "{% else %} <bot> {{ message['content'] }} <end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} <bot>{% endif %}"
)


def vocabulary() -> list[str]:
    """All tokens in the order of their ids: special tokens, words, syllables, padding."""
    starts = [syllable for syllable in SYLLABLES if syllable not in GRAMMAR_WORDS]
    tokens = [*SPECIAL_TOKENS, *GRAMMAR_WORDS, *starts, *(f"##{s}" for s in SYLLABLES)]
    assert len(set(tokens)) == len(tokens)
    return tokens + [f"<unused_{i}>" for i in range(-len(tokens) % MULTIPLE)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer with chat template, special tokens and an exact decoder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    ids = {token: i for i, token in enumerate(vocabulary())}
    backend = Tokenizer(models.WordPiece(vocab=ids, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return build_chat_tokenizer(backend, CHAT_TEMPLATE)
