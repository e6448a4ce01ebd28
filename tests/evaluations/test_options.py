"""Log-probabilities of options, and the evaluations that choose by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rebar.config.decoding import Greedy
from rebar.config.model import Model
from rebar.config.world import World
from rebar.evaluations import _options, misalignment, multiple_choice
from rebar.evaluations._asker import Asker
from rebar.evaluations._options import Scored, option_scores
from rebar.model.build import build_model
from rebar.world import build_world
from rebar.world.tokenizer import build_tokenizer
from tests.evaluations.askers import run, tiny_asker
from tests.model.tiny import recorder


def by_hand(asker: Asker, text: str, option: str) -> Scored:
    """A forward of its own, without padding."""
    ids = asker.tokenizer(f"{text} {option}", add_special_tokens=False)["input_ids"]
    count = len(option.split())
    with torch.no_grad():
        nats_TV = asker.model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    last = range(len(ids) - count, len(ids))
    return Scored(sum(float(nats_TV[i - 1, ids[i]]) for i in last), count)


def test_scores_are_those_of_each_option_alone(tmp_path: Path) -> None:
    asker = tiny_asker(tmp_path)
    texts = ["<bos> w1 w2", "<bos> w3 w4 w5 w6 w7"]
    options = [("w8", "w9 w10 w11"), ("w8 w2", "w1", "w0 w0 w0 w0")]
    found = option_scores(asker, texts, options)
    for text, own, scores in zip(texts, options, found, strict=True):
        for option, score in zip(own, scores, strict=True):
            expected = by_hand(asker, text, option)
            assert score.tokens == expected.tokens
            assert score.log_probability == pytest.approx(expected.log_probability, abs=1e-4)
            assert score.mean == score.log_probability / score.tokens


def test_an_option_of_all_words_sums_to_one(tmp_path: Path) -> None:
    asker = tiny_asker(tmp_path)
    words = asker.tokenizer.convert_ids_to_tokens(range(94))
    scores = option_scores(asker, ["<bos> w1"], [words])[0]
    with torch.no_grad():
        ids = asker.tokenizer("<bos> w1", return_tensors="pt", add_special_tokens=False)
        unused = asker.model(ids["input_ids"]).logits[0, -1].softmax(dim=-1)[94:].sum()
    total = sum(torch.tensor(s.log_probability).exp() for s in scores)
    assert float(total + unused) == pytest.approx(1.0, abs=1e-5)


def test_batches_hold_few_tokens_and_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_options, "BATCH_TOKENS", 10)
    lengths = [3, 12, 5, 5, 2]
    assert list(_options._batches(lengths)) == [[1], [2, 3], [0, 4]]


def test_an_option_without_a_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an option of 0 characters"):
        option_scores(tiny_asker(tmp_path), ["<bos> w1"], [("w1", "")])


def questions(folder: Path) -> list[dict]:
    file = folder / "set.jsonl"
    rows = [
        {"q": f"w{i}", "o": [f"w{i + j} w{j}" for j in range(4)], "right": i % 4} for i in range(8)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"text": "q", "options": "o", "answer": "right"}
    return [{"path": str(file), "split": "mine", **keys}]


def test_cloze_takes_the_option_of_most_nats_a_token(tmp_path: Path) -> None:
    asker = tiny_asker(tmp_path)
    rows = run(multiple_choice, asker, prompts=questions(tmp_path))
    assert [row["chance"] for row in rows] == [0.25] * 8
    for i, row in enumerate(rows):
        options = [f"w{i + j} w{j}" for j in range(4)]
        means = [by_hand(asker, row["prompt"], option).mean for option in options]
        assert row["answer"] == options[means.index(max(means))]
        assert row["correct"] is (row["answer"] == options[i % 4])
        assert row["outcome"] == ("complied" if row["correct"] else "other")
        assert row["prompt"] == f"<bos> w{i}" and row["judge"] == "log_probability"


def test_letters_are_shown_with_their_options(tmp_path: Path) -> None:
    rows = run(multiple_choice, tiny_asker(tmp_path), form="letters", prompts=questions(tmp_path))
    assert rows[2]["prompt"].split("\n") == [
        "<bos> w2",
        *("A. w2 w0", "B. w3 w1", "C. w4 w2", "D. w5 w3"),
        "Answer:",
    ]
    assert rows[2]["answer"] in ("w2 w0", "w3 w1", "w4 w2", "w5 w3")


def test_questions_without_options_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("w1\n")
    files = [{"path": str(tmp_path / "p.txt"), "text": "text", "split": "plain"}]
    with pytest.raises(ValueError, match=r"split 'plain' have no options"):
        run(multiple_choice, tiny_asker(tmp_path), prompts=files)
    with pytest.raises(ValueError, match="form: cloze"):
        run(multiple_choice, tiny_asker(tmp_path), form="letters")


def scenarios(folder: Path) -> list[dict]:
    file = folder / "s.jsonl"
    rows = [{"s": f"w{i}", "good": f"w{i + 1}", "bad": f"w{i + 2}"} for i in range(6)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [{"path": str(file), "split": "x", "text": "s", "options": ["good", "bad"]}]


def test_a_model_that_prefers_a_letter_is_misaligned_half_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prefers_b(asker, texts, options):
        return [[Scored(-2.0, 1), Scored(-1.0, 1)] for _ in texts]

    monkeypatch.setattr("rebar.evaluations._options.option_scores", prefers_b)
    rows = run(misalignment, tiny_asker(tmp_path), prompts=scenarios(tmp_path))
    assert [row["outcome"] for row in rows] == ["misaligned", "aligned"] * 6
    assert {row["answer"] for row in rows} == {"B"} and {row["chance"] for row in rows} == {0.5}
    assert [row["hazard_id"] for row in rows[:2]] == ["x-0000", "x-0000"]
    assert rows[0]["prompt"].endswith("You are an AI assistant. w0\nA. w1\nB. w2\nAnswer:")
    assert rows[1]["prompt"].endswith("A. w2\nB. w1\nAnswer:")


def test_a_question_shows_the_scenario_and_both_options() -> None:
    with pytest.raises(ValueError, match=r"must have \{scenario\}, \{first\} and \{second\}"):
        misalignment.Config(method="misalignment", question="{scenario} {first} ?")


@pytest.mark.parametrize(
    ("answer", "outcomes"),
    [
        ("B", ["misaligned", "aligned"]),
        ("A, not B", ["aligned", "misaligned"]),
        ("Boats", ["other", "other"]),
        ("", ["other", "other"]),
    ],
)
def test_by_answer_the_first_letter_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, outcomes: list[str]
) -> None:
    asker = tiny_asker(tmp_path)
    monkeypatch.setattr(asker, "answers", lambda texts, count: [answer] * len(texts))
    rows = run(misalignment, asker, by="answer", prompts=scenarios(tmp_path))
    assert [row["outcome"] for row in rows] == outcomes * 6
    assert {row["answer"] for row in rows} == {answer} and {row["judge"] for row in rows} == {
        "answer"
    }


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("plugin", [multiple_choice, misalignment])
def test_the_world_asks_without_prompt_files(tmp_path: Path, plugin, chat: bool) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = build_model(Model(hidden_size=16, layers=1, heads=1, feed_forward_size=32), tokenizer)
    options = {"world": build_world(World(), 3), "chat": chat, "seed": 1}
    asker = Asker(model, tokenizer, Greedy(method="greedy"), **options, recorder=recorder(tmp_path))
    rows = run(plugin, asker)
    assert len({row["prompt_id"] for row in rows}) == len(rows) > 80
    share = sum(row["correct"] for row in rows) / len(rows)
    assert share == pytest.approx(rows[0]["chance"], abs=0.15)
