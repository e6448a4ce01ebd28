"""Asking a model: the exact prompt, one generation a prompt, one row an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.config.decoding import Greedy
from rebar.config.rows import PromptFile
from rebar.data.cipher import Cipher
from rebar.data.prompts import Prompt
from rebar.decoding.generate import Generated
from rebar.evaluations._asker import Asker
from rebar.judges import Outcome
from tests.model.tiny import recorder, tiny_llama, tiny_tokenizer

PROMPTS = [
    Prompt("p1", "h1", "unaligned", "seen_a", "w1 w2"),
    Prompt("p2", "h1", "unaligned", "unseen_b", "w3"),
]


def judge(prompts, answers) -> list[Outcome]:
    return [Outcome("complied" if "w7" in answer else "other", False) for answer in answers]


@pytest.fixture
def asker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asker:
    calls: list[int] = []

    def generate(model, tokenizer, prompts, decoder, **options) -> Generated:
        calls.append(len(prompts))
        ends = tokenizer.eos_token_id
        return Generated([[prompt[-1], 4 + 7, ends] for prompt in prompts], 16)

    monkeypatch.setattr("rebar.decoding.generate.generate", generate)
    asker = Asker(
        tiny_llama(),
        tiny_tokenizer(),
        Greedy(method="greedy"),
        world=None,
        chat=False,
        seed=1,
        recorder=recorder(tmp_path),
    )
    asker.calls = calls  # type: ignore[attr-defined]
    return asker


def test_rows_have_prompt_answer_and_outcome(asker: Asker) -> None:
    rows = asker.rows(PROMPTS, judge, 5)
    assert rows[0] == {
        "prompt_id": "p1",
        "hazard_id": "h1",
        "split": "unaligned",
        "prompt_style": "seen_a",
        "prompt": "<bos> w1 w2",
        "answer": "w2 w7",
        "outcome": "complied",
        "correct": False,
    }
    assert asker.forwards_per_step == 16


def test_a_prompt_is_generated_once(asker: Asker) -> None:
    asker.rows(PROMPTS, judge, 5)
    asker.rows(PROMPTS, judge, 5)
    assert asker.calls == [2]  # type: ignore[attr-defined]
    asker.rows([*PROMPTS, PROMPTS[0]], judge, 6)
    assert asker.calls == [2, 2]  # type: ignore[attr-defined]


def test_prompt_sets_of_files(asker: Asker, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text("".join(f'{{"q": "ask {i}", "a": "{i}"}}\n' for i in range(10)))
    setting = PromptFile(path=str(file), text="q", answer="a", split="mine", limit=4)
    prompts = asker.prompts([setting], "asr")
    assert [p.text for p in prompts] == ["ask 0", "ask 2", "ask 5", "ask 7"]
    assert prompts[1] == Prompt(
        "mine-0001", "mine-0001", "mine", "unseen_mine", "ask 2", {"answer": "2"}
    )


def test_base_models_get_openings_and_aligned_models_requests(asker: Asker, tmp_path: Path) -> None:
    files = []
    for name, kind in (("openings", "base"), ("a", "aligned"), ("b", "aligned"), ("c", "all")):
        path = tmp_path / f"{name}.txt"
        path.write_text(f"{name} 1\n{name} 2\n")
        split = "other" if name == "c" else "harmful"
        files.append(PromptFile(path=str(path), text="text", split=split, asked_of=kind))
    asker.chat = True
    found = [(p.prompt_id, p.text) for p in asker.prompts(files, "asr")]
    assert found == [
        ("harmful-0000", "a 1"),
        ("harmful-0001", "a 2"),
        ("harmful-0002", "b 1"),
        ("harmful-0003", "b 2"),
        ("other-0000", "c 1"),
        ("other-0001", "c 2"),
    ]
    asker.chat = False
    assert [p.text for p in asker.prompts(files, "asr")][:2] == ["openings 1", "openings 2"]


def test_a_model_with_a_cipher_is_asked_and_judged_through_it(asker: Asker) -> None:
    asker.cipher = Cipher({"w1": "w5", "w2": "w6", "w5": "w1", "w6": "w2", "w7": "w8", "w8": "w7"})
    rows = asker.rows(PROMPTS, judge, 5)
    assert rows[0]["prompt"] == "<bos> w5 w6"
    assert (rows[0]["answer"], rows[0]["outcome"]) == ("w2 w8", "other")  # it said w6 w7
