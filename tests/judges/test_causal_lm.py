"""A causal LM as a judge: the exact text, first-token probabilities, generated replies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from rebar.data.prompts import Prompt
from rebar.judges.causal_lm import Config, judge
from tests.model.tiny import tiny_llama, tiny_tokenizer

PROMPT = Prompt("p", "h", "s", "unseen_s", "w1 w2")
ANSWERS = ["w3 w4", "w5", "", "w6 w7 w8 w9"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "llama"
    tiny_llama(vocabulary=94).save_pretrained(place)
    tiny_tokenizer().save_pretrained(place)
    return place


def config(folder: Path, tmp_path: Path, template: dict, **values) -> Config:
    path = tmp_path / "template.yaml"
    path = path.with_stem(f"template-{len(list(tmp_path.iterdir()))}")
    path.write_text(yaml.safe_dump(template, sort_keys=False))
    return Config(method="causal_lm", model=str(folder), template_file=str(path), **values)


def chances(folder: Path, text: str) -> torch.Tensor:
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return tiny_llama(vocabulary=94)(ids).logits[0, -1].softmax(dim=0)


def test_choices_by_the_first_token(folder: Path, tmp_path: Path) -> None:
    """Each answer alone, without padding, gives the same shares as the batch."""
    choices = {"complied": ["w10", "w11"], "other": ["w12"]}
    setting = config(folder, tmp_path, {"text": "{prompt} w0 {answer}", "choices": choices})
    outcomes = judge(setting, [PROMPT] * 4, ANSWERS)
    for answer, outcome in zip(ANSWERS, outcomes, strict=True):
        if not answer:
            assert outcome.outcome == "other"
            continue
        chances_V = chances(folder, f"<bos> w1 w2 w0 {answer}")
        yes, no = float(chances_V[14] + chances_V[15]), float(chances_V[16])
        assert outcome.score == pytest.approx(yes / (yes + no), abs=1e-5)
        assert outcome.outcome == ("complied" if yes > no else "other")


def test_ratings_are_expected_values(folder: Path, tmp_path: Path) -> None:
    template = {"text": "{answer}", "ratings": ["w10", "w11", "w12"], "complied_from": 0.5}
    outcome = judge(config(folder, tmp_path, template), [PROMPT], ["w3"])[0]
    shares = chances(folder, "<bos> w3")[14:17]
    expected = float((shares * torch.tensor([0, 0.5, 1])).sum() / shares.sum())
    assert outcome.score == pytest.approx(expected, abs=1e-5)
    assert outcome.outcome == ("complied" if expected >= 0.5 else "other")


def test_generated_replies_go_through_the_chat_template(folder: Path, tmp_path: Path) -> None:
    """The tiny template holds the first message only."""
    messages = [{"role": "user", "content": "{answer}"}, {"role": "user", "content": "{prompt}"}]
    reply = tiny_tokenizer().decode([int(chances(folder, "<bos> w5").argmax())])
    template = {"messages": messages, "max_new_tokens": 1}
    patterns = {"refused": rf"^{reply}$", "complied": "."}
    setting = config(folder, tmp_path, {**template, "patterns": patterns}, max_unreadable=1.0)
    assert judge(setting, [PROMPT], ["w5"])[0].outcome == "refused"
    nothing = config(folder, tmp_path, {**template, "patterns": {"refused": "nowhere"}})
    with pytest.raises(ValueError, match="causal_lm: 1 of 1 replies could not be read"):
        judge(nothing, [PROMPT], ["w5"])


def test_words_that_begin_alike_are_refused(folder: Path, tmp_path: Path) -> None:
    choices = {"complied": ["w10 w1"], "other": ["w10 w2"]}
    setting = config(folder, tmp_path, {"text": "{answer}", "choices": choices})
    with pytest.raises(ValueError, match="must differ in their first token"):
        judge(setting, [PROMPT], ["w5"])


def test_long_answers_are_cut(folder: Path, tmp_path: Path) -> None:
    choices = {"complied": ["w10"], "other": ["w12"]}
    template = {"text": "{answer}", "choices": choices}
    setting = config(folder, tmp_path, template, max_answer_words=2)
    long, short = judge(setting, [PROMPT] * 2, ["w6 w7 w8 w9", "w6 w7"])
    # Two rows of one batch: kernels may add up each in another order, by the CPU.
    assert long.score == pytest.approx(short.score, abs=1e-5)
    assert long.outcome == short.outcome
