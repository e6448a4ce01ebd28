"""Special tokens of the tokenizers that Rebar makes itself: the world's and a trained one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebar.data.tagging import TAG

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, BOS, END, USER, BOT, UNKNOWN = "<pad>", "<bos>", "<end>", "<user>", "<bot>", "<unk>"
SPECIAL_TOKENS = (PAD, BOS, END, USER, BOT, TAG, UNKNOWN)


def build_chat_tokenizer(backend: Tokenizer, chat_template: str) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer that knows these special tokens as a Hugging Face tokenizer.

    It pads on the left, as batched decoding needs.
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, BOT, TAG],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = chat_template
    return tokenizer
