"""The tokenizer of a seed: the world's own, one trained on collected text, or an existing one.

All recipes of a seed share their tokenizer. It is therefore made from what they share, the
collected documents, never from a recipe's own documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar.config.paths import resolve
from rebar.data.special_tokens import SPECIAL_TOKENS, build_chat_tokenizer
from rebar.data.tagging import TAG

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}<user>{{ message['content'] }}"
    "{% else %}<bot>{{ message['content'] }}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)

CHATML = (
    "{{ bos_token }}{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with special tokens and a chat template.

    Every text decodes to itself, because the alphabet holds all bytes. Raises ValueError if the
    vocabulary is too small for that.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + len(SPECIAL_TOKENS)
    if vocabulary_size < smallest:
        raise ValueError(
            f"tokenize.vocabulary_size: {vocabulary_size} is less than {smallest}, the number of "
            "bytes and special tokens; raise it"
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    # The tag takes the space before it, so that the other tokens of a tagged text stay the same.
    special = [AddedToken(t, lstrip=t == TAG, special=True) for t in SPECIAL_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return build_chat_tokenizer(backend, CHAT_TEMPLATE)


def load_existing_tokenizer(name: str, revision: str | None = None) -> Any:
    """Load a tokenizer from a folder, .gguf file, `package:` path or Hub id, and add the tag.

    A missing begin or padding token is set to the end token, and a missing chat template to ChatML
    as plain text (SmolLM2 and SafeLM have special tokens for it). Raises ValueError if there is no
    tokenizer, if it is not a fast one, or if it has no end token.
    """
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    path, options = resolve(name), {}
    if path.endswith(".gguf"):
        path, options = str(Path(path).parent), {"gguf_file": Path(path).name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision or "main", **options)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"tokenize.tokenizer: cannot load '{name}': {error}; allowed: world, train, or a "
            "tokenizer folder, .gguf file, package: path or Hub id"
        ) from error
    if not tokenizer.is_fast or tokenizer.eos_token is None:
        raise ValueError(
            f"tokenize.tokenizer: '{name}' is not a fast tokenizer with an end token; name another"
        )
    if tokenizer.bos_token is None:  # every document begins with a token
        tokenizer.bos_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = CHATML
    tag = AddedToken(TAG, lstrip=True, special=True)
    tokenizer.add_special_tokens(
        {"extra_special_tokens": [tag]}, replace_extra_special_tokens=False
    )
    return tokenizer
