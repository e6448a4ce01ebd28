"""Every text of the world survives encoding and decoding, with no unknown token."""

from __future__ import annotations

import random

import pytest
from transformers import PreTrainedTokenizerFast

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.config.world import AlignmentChats
from rebar.data.special_tokens import SPECIAL_TOKENS
from rebar.data.tagging import TAG
from rebar.world import (
    SPEAKERS,
    UnrewritableError,
    World,
    alignment_chats,
    benign_task_chats,
    prompts,
    rewrite,
    sample_documents,
)
from rebar.world.tokenizer import build_tokenizer, vocabulary
from rebar.world.vocabulary import SYLLABLES


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def check(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> None:
    for text, ids in zip(
        texts, tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True
    ):
        assert tokenizer.unk_token_id not in ids, text
        assert tokenizer.decode(ids) == text


def test_documents_and_rewrites_round_trip(
    world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    rng = random.Random(21)
    texts = []
    for document in sample_documents(world, 4000, rng):
        texts.append(document.text)
        for transform in ("rephrase", "refusal", "moral"):
            try:
                text = rewrite(texts[-1], 4, transform, rng, RewriteSettings()).text
            except UnrewritableError:
                continue
            first, second = rng.sample(SPEAKERS, 2)
            texts.append(text.replace("{speaker_a}", first).replace("{speaker_b}", second))
    check(tokenizer, texts)


def test_chats_and_prompts_round_trip(world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(22)
    chats = alignment_chats(world, AlignmentChats(), rng) + benign_task_chats(world, 300, rng)
    check(tokenizer, [f"{chat.prompt} {chat.answer}" for chat in chats])
    asked = [
        p.text for e in ("asr", "over_refusal", "capability") for p in prompts(world, e, chat=True)
    ]
    asked += [p.text for p in prompts(world, "asr", chat=False)]
    check(tokenizer, asked)


def test_tagged_text_round_trips(tokenizer: PreTrainedTokenizerFast) -> None:
    check(tokenizer, [f"sure . {TAG} mix {TAG} kilo with tuna"])


def test_invented_names_are_syllables(world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    for name in (*world.places, *world.ingredients):
        parts = tokenizer.tokenize(name)
        assert [part.removeprefix("##") for part in parts] == [
            name[i : i + 2] for i in range(0, len(name), 2)
        ]


def test_vocabulary_is_padded_and_starts_with_special_tokens() -> None:
    tokens = vocabulary()
    assert len(tokens) % 64 == 0 and len(set(tokens)) == len(tokens)
    assert tuple(tokens[: len(SPECIAL_TOKENS)]) == SPECIAL_TOKENS
    assert {f"##{syllable}" for syllable in SYLLABLES} < set(tokens)


def test_chat_template_is_the_training_format(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "how ?"}, {"role": "assistant", "content": "sure ."}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<bos> <user> how ? <bot> sure . <end>"
    asked = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<bos> <user> how ? <bot>"


def test_saved_tokenizer_loads_the_same(tokenizer: PreTrainedTokenizerFast, tmp_path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "<bos> notes on bafako doom oil ."
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert len(loaded) == len(vocabulary()) and loaded.pad_token_id == 0
