"""Any sequence classifier: labels, probabilities, batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig
from transformers import BertForSequenceClassification as Bert

from rebar.data.prompts import Prompt
from rebar.judges.classifier import Config, judge
from tests.corpus.tiny_models import save_encoder

PROMPT = Prompt("p", "h", "s", "unseen_s", "ask why")
ANSWERS = ["ask now", "why now now ask", "  ", "now"]
LABELS = {"toxic": "complied", "fine": "refused", "odd": "other"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with three labels."""
    place = save_encoder(tmp_path_factory.mktemp("models") / "bert", ["ask why now"])
    config = BertConfig.from_pretrained(place, num_labels=3)
    config.id2label = dict(enumerate(LABELS))
    torch.manual_seed(1)
    config.initializer_range = 2.0  # large, so that labels differ
    Bert(config).save_pretrained(place)
    return place


def config(folder: Path, **values) -> Config:
    return Config(method="classifier", model=str(folder), labels=LABELS, **values)


def test_outcomes_are_those_of_the_model(folder: Path) -> None:
    outcomes = judge(config(folder, batch_size=2), [PROMPT] * 4, ANSWERS)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for answer, outcome in zip(ANSWERS, outcomes, strict=True):
        if answer.strip():
            with torch.inference_mode():
                logits_L = model(**tokenizer(answer, return_tensors="pt")).logits[0]
            chances_L = logits_L.softmax(dim=0)
            top = int(chances_L.argmax())
            assert outcome.outcome == list(LABELS.values())[top]
            assert outcome.score == pytest.approx(float(chances_L[top]), abs=1e-6)
    assert outcomes[2].outcome == "other"
    assert judge(config(folder), [], []) == []


def test_the_text_may_hold_the_prompt(folder: Path) -> None:
    alone = judge(config(folder), [PROMPT], ["now"])[0]
    both = judge(config(folder, text="{prompt} {answer}"), [PROMPT], ["now"])[0]
    as_one = judge(config(folder), [PROMPT], ["ask why now"])[0]
    assert both.score == as_one.score != alone.score


def test_every_label_must_be_mapped(folder: Path) -> None:
    setting = Config(method="classifier", model=str(folder), labels={"toxic": "complied"})
    with pytest.raises(ValueError, match=r"labels: has toxic; the model .* has toxic, fine, odd"):
        judge(setting, [PROMPT], ["now"])


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="judges: classifier: cannot load"):
        judge(config(tmp_path), [PROMPT], ["now"])
