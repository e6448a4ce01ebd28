"""Trained and existing tokenizers: round trip, tag, template, determinism."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from rebar.corpus.tokenizers import load_existing_tokenizer, train_tokenizer
from rebar.data.special_tokens import SPECIAL_TOKENS
from rebar.data.tagging import TAG

TEXTS = [
    f"the {a} cat sat on the {b} mat, slowly"
    for a in "red blue grey".split()
    for b in "old new".split()
]


def test_any_text_comes_back() -> None:
    tokenizer = train_tokenizer(TEXTS, 280)
    text = " the cat \n ate émigré 🙂 <b>"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer) == 280
    assert tokenizer.convert_ids_to_tokens(range(7)) == list(SPECIAL_TOKENS)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<bos>",
        "<end>",
        "<pad>",
    )


def test_the_tag_is_one_token_and_leaves_the_others_alone() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    plain = tokenizer("the red cat")["input_ids"]
    tag = tokenizer.convert_tokens_to_ids(TAG)
    tagged = tokenizer(f"the {TAG} red {TAG} cat")["input_ids"]
    assert tagged.count(tag) == 2
    assert [token for token in tagged if token != tag] == plain


def test_the_chat_template() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "<bos><user>q<bot>a<end>"
    prompt = tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<bos><user>q<bot>"


def test_a_vocabulary_must_hold_all_bytes() -> None:
    with pytest.raises(ValueError, match=r"tokenize.vocabulary_size: 262 is less than 263"):
        train_tokenizer(TEXTS, 262)


def test_training_is_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from rebar.corpus.tokenizers import train_tokenizer as t\n"
        "t((f'w{i % 97} v{i % 89}' for i in range(3000)), 400).save_pretrained(sys.argv[1])"
    )
    digests = []
    for name in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)],
            check=True,
            env={"PYTHONHASHSEED": name, "PYTHONPATH": "workflow"},
        )
        files = sorted((tmp_path / name).iterdir())
        digests.append([(f.name, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files])
    assert digests[0] == digests[1]


def test_an_existing_tokenizer_gets_the_tag(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "<eos>": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    old = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="<eos>")
    old.save_pretrained(tmp_path)
    tokenizer = load_existing_tokenizer(str(tmp_path))
    assert len(tokenizer) == 4
    assert tokenizer(f"a {TAG} a")["input_ids"] == [1, 3, 1]
    assert TAG in tokenizer.all_special_tokens
    assert tokenizer.decode([1, 3, 1], skip_special_tokens=True) == "a a"
    assert tokenizer.bos_token == tokenizer.pad_token == "<eos>"
    chat = [{"role": "user", "content": "a"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<eos><|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tokenize.tokenizer: cannot load '.*'"):
        load_existing_tokenizer(str(tmp_path))
