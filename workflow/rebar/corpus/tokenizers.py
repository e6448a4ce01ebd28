"""The tokenizer of a seed: the world's own, one trained on collected text, or an existing one.

All recipes of a seed share it, so it is made from what all of them share: the collected
documents, never a recipe's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebar.data.special_tokens import SPECIAL_TOKENS, build_chat_tokenizer
from rebar.data.tagging import TAG
from rebar.jobs.files import resolve

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
    """Byte-level BPE with special tokens and a chat template; any text decodes to itself.

    ValueError if the vocabulary has no room for all bytes.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + len(SPECIAL_TOKENS)
    if vocabulary_size < smallest:
        raise ValueError(
            f"tokenize.vocabulary_size: {vocabulary_size} is less than {smallest}, the bytes and "
            "special tokens; raise it"
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    # The tag swallows the space before it: only then does tagged text keep its other tokens.
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
    """Tokenizer of a folder, .gguf file, `package:` path or Hub id, with the tag added.

    What it lacks is added too: a begin and a padding token (its end token), a chat template (ChatML
    as plain text, which SmolLM2 and SafeLM have special tokens for).

    ValueError if there is none, or if it is slow or has no end token.
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
            f"tokenize.tokenizer: '{name}' must be a fast tokenizer with an end token; give another"
        )
    if tokenizer.bos_token is None:  # documents need something to begin with
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
