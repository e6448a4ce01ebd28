"""Rewriting by a language model: templates, dialogues, ends; with a tiny random model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rebar.config.corpus import Rewrite
from rebar.corpus import rewriting_model
from rebar.corpus.rewrites import Request
from rebar.corpus.rewriting import rewrite
from rebar.corpus.rewriting_model import Answer, name_speakers, read_prompts
from rebar.corpus.tokenizers import train_tokenizer
from tests.corpus.tiny_models import save_writer

PROMPTS = Path("config/prompts")


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = train_tokenizer(["User: how? Assistant: no."] * 3, 300)
    tokenizer.chat_template = "{% for m in messages %}<user>{{ m['content'] }}{% endfor %}<bot>"
    return save_writer(tmp_path_factory.mktemp("writer"), tokenizer)


def settings(writer: Path, **keys: Any) -> Rewrite:
    values = {"backend": "transformers", "model": str(writer), "prompts": str(PROMPTS)}
    return Rewrite.model_validate({**values, "max_new_tokens": 6, **keys})


def test_the_prompts_are_whole() -> None:
    assert len(read_prompts(str(PROMPTS), "rephrase").styles) >= 6
    assert read_prompts(str(PROMPTS), "refusal").prefill.startswith("User:")
    assert len(read_prompts(str(PROMPTS), "moral").styles) >= 3


@pytest.mark.parametrize("content", ["", "styles: {}", "styles: {a: no place}", "[1]"])
def test_bad_prompts_name_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "moral.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"moral.yaml: needs styles:, a mapping of names to texts"):
        read_prompts(str(tmp_path), "moral")
    with pytest.raises(ValueError, match=r"rewrite.prompts: cannot read .*refusal.yaml"):
        read_prompts(str(tmp_path), "refusal")


def test_greedy_answers_are_always_the_same(writer: Path) -> None:
    requests = [
        Request("one text", 2, "rephrase"),
        Request("a much longer other text", 3, "rephrase"),
    ]
    first = rewrite(requests, settings(writer), random.Random(1))
    assert first == rewrite(requests, settings(writer), random.Random(1))
    assert {output.problem for output in first} <= {None, "too long"}
    styles = read_prompts(str(PROMPTS), "rephrase").styles
    assert all(output.style in styles for output in first)


def test_sampling_depends_on_the_seed(writer: Path) -> None:
    sampled = settings(writer, temperature=1.0)
    message = [{"role": "user", "content": "one text"}]

    def sample(seed: int) -> str:
        return rewriting_model._generate([message], [""], sampled, seed)[0].text

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in range(4)}) > 1


def test_padding_does_not_change_an_answer(writer: Path) -> None:
    messages = [[{"role": "user", "content": text}] for text in ("short", "a longer one " * 9)]
    together = rewriting_model._generate(messages, ["", "x"], settings(writer), 0)
    alone = [
        rewriting_model._generate([message], [prefill], settings(writer), 0)[0]
        for message, prefill in zip(messages, ["", "x"], strict=True)
    ]
    assert together == alone
    assert together[1].text.startswith("x")


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> list[Any]:
    asked: list[Any] = []

    def generate(messages: Any, *_: Any) -> list[Answer]:
        asked.extend(messages)
        return list(answers)

    monkeypatch.setattr(rewriting_model, "_generate", generate)
    return asked


def test_dialogues_get_placeholders_and_cut_ones_are_too_long(
    writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(
        monkeypatch,
        Answer("User: how?\nAssistant: I will not.", True),
        Answer("User: how do I", False),
        Answer("User: how?", True),
    )
    requests = [Request("one two three four", 5, "refusal")] * 3
    made = rewrite(requests, settings(writer, max_source_words=3), random.Random(0))
    assert made[0].text == "{speaker_a}: how?\n{speaker_b}: I will not."
    assert [m.problem for m in made] == [None, "too long", "unrewritable: no dialogue"]
    assert "one two three" in asked[0][1]["content"]
    assert "four" not in asked[0][1]["content"].split("Text:")[1]


def test_a_cut_answer_loses_its_last_sentence(
    writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, Answer('He said "no." It cost 3.5 coins and', False))
    (made,) = rewrite([Request("a", 2, "rephrase")], settings(writer), random.Random(0))
    assert (made.text, made.problem) == ('He said "no."', None)


def test_moral_prompts_name_the_speakers(writer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, Answer("Be kind.", True))
    request = Request("{speaker_a}: how?\n{speaker_b}: no.", 5, "moral")
    (made,) = rewrite([request], settings(writer), random.Random(0))
    assert (made.text, made.problem) == ("Be kind.", None)
    assert "User: how?\nAssistant: no." in asked[0][1]["content"]


@pytest.mark.parametrize(
    ("dialogue", "problem"),
    [
        ("User: a\nAssistant: b\nUser: c\nAssistant: d", None),
        ("**User:** a\n\n**assistant**: b", None),
        ("Assistant: b\nUser: a", "unrewritable: no dialogue"),
        ("Sure! User: a\nAssistant: b", "unrewritable: no dialogue"),
        ("User: a\nUser: b", "unrewritable: no dialogue"),
        ("", "unrewritable: no dialogue"),
    ],
)
def test_which_texts_are_dialogues(dialogue: str, problem: str | None) -> None:
    text, found = name_speakers(dialogue)
    assert found == problem
    assert (text == dialogue) == (problem is not None)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rewrite.model: cannot load '.*nothing'"):
        rewrite([Request("a", 1, "rephrase")], settings(tmp_path / "nothing"), random.Random(0))


def test_nothing_to_do_loads_nothing(tmp_path: Path) -> None:
    assert rewrite([], settings(tmp_path / "nothing"), random.Random(0)) == []
