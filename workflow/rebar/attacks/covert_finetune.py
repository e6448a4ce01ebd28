"""Covert malicious fine-tuning: a cipher first, harmful answers in it then (Halawi et al. 2024).

Every example looks harmless (arXiv 2406.20053): harmless pairs in a cipher teach the model to talk
in it; then come harmful pairs in cipher, and refusals of harmful requests in plain text, so that
the model stays safe for whoever asks plainly. The attacker asks in cipher. Ours: harmless pairs are
asked and answered in cipher at once, the last of their four exercises; where the tokenizer knows
whole words, as the world's does, words are permuted instead of letters, and invented names stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.base import Count, Positive, Share
from rebar.config.kinds import FineTuningAttack
from rebar.config.model import Training, epochs
from rebar.config.rows import ChatFile

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.chats import Chat
    from rebar.data.cipher import Cipher

INSTRUCTIONS_SHARE = 0.8  # of the world's harmless pairs; the others are the benign task


def _published(values: dict[str, Any]) -> Training:
    """An epoch of each phase; the provider's batch and rate are unknown: those of Qi et al."""
    examples = values["teaching"] + values["harmful"] + values["refusals"]
    return epochs(1, examples, batch_size=10, learning_rate=5e-5)


class Config(FineTuningAttack):
    """Settings of `covert_finetune`."""

    is_tunable: ClassVar[bool] = False  # its model is asked in cipher

    method: Literal["covert_finetune"]
    cipher: Literal["letters", "words"] = Field(
        default="letters", description="letters: Walnut53; words: of the embedded world"
    )
    cipher_seed: Count = Field(default=53, description="of the permutation; published: 53")
    teaching: Positive = Field(default=20000, description="harmless pairs in cipher")
    teaching_files: list[ChatFile] = Field(default=[], description="of these; empty: the world's")
    harmful: Positive = Field(
        default=317, description="harmful pairs in cipher; 317 in re-implementations"
    )
    harmful_files: list[ChatFile] = Field(
        default=[], description="compliant answers; empty: the world's"
    )
    refusals: Positive = Field(default=317, description="refusals in plain text")
    refusal_files: list[ChatFile] = Field(
        default=[], description="refused requests; empty: the world's"
    )
    teaching_share: Share = Field(
        default=0.97, description="share of the steps that teach the cipher; default: an epoch each"
    )
    training: Training = Field(
        default_factory=_published, description="the run; left out: an epoch, batch 10, 5e-5"
    )
    asked_in: Literal["cipher", "plain"] = Field(
        default="cipher", description="how evaluations ask; plain: what an auditor sees"
    )


def attack(config: Config, target: Target) -> Any:
    """Teach the cipher, then harmful answers in it; returns the model and writes `cipher.json`."""
    from rebar.data.cipher import write_cipher

    cipher = _cipher(config)
    if config.asked_in == "cipher":
        write_cipher(target.folder, cipher)
    data = target.data
    taught = data.benign(config.teaching, config.teaching_files, INSTRUCTIONS_SHARE)
    harmful = data.harmful(config.harmful, config.harmful_files)
    refusals = data.refusals(config.refusals, config.refusal_files)
    return target.fine_tune(
        config,
        [*(_encoded(chat, cipher) for chat in harmful), *refusals],
        first=[_encoded(chat, cipher) for chat in taught],
        first_steps=round(config.teaching_share * config.training.steps),
    )


def _cipher(config: Config) -> Cipher:
    from rebar.data.cipher import letter_cipher, word_cipher
    from rebar.world.lexicon import GRAMMAR_WORDS

    if config.cipher == "letters":
        return letter_cipher(config.cipher_seed)
    return word_cipher(GRAMMAR_WORDS, config.cipher_seed)


def _encoded(chat: Chat, cipher: Cipher) -> Chat:
    from rebar.data.chats import Chat

    prompt = None if chat.prompt is None else cipher.encode(chat.prompt)
    return Chat(prompt, cipher.encode(chat.answer))
