"""Any sequence classifier of a folder or the Hub, with a map from its labels to outcomes.

Toxicity and harm classifiers, refusal classifiers, Do-Not-Answer's Longformer (Wang et al. 2023,
arXiv 2308.13387): what a label means for an answer stands in the config. Legend: B answers, L
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from rebar.config.base import Positive
from rebar.config.kinds import Judge
from rebar.data.prompts import Prompt, holds_answer
from rebar.judges import Outcome, Scored


class Config(Judge):
    """Settings of `classifier`."""

    method: Literal["classifier"]
    model: str = Field(description="classifier as a folder, `package:` path or Hub id")
    revision: str | None = Field(default=None, description="commit of the Hub's model")
    labels: dict[str, Literal["complied", "refused", "other"]] = Field(
        description="what each label of the model says; all of them"
    )
    text: str = Field(
        default="{answer}", description="what it reads; {prompt} and {answer} are filled in"
    )
    max_tokens: Positive = Field(default=512, description="longer texts are cut")
    batch_size: Positive = Field(default=16, description="texts at a time")

    @property
    def judging_model(self) -> str:
        """`model`."""
        return self.model


def judge(config: Config, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Outcome]:
    """One outcome for each answer, in order; its score is the probability of the label.

    ValueError if a label of the model is not mapped.
    """
    from rebar.judges._models import load

    tokenizer, model = load("classifier", config.model, config.revision)
    names = _checked_labels(config, model)
    texts = [_text(config, p.text, a) for p, a in zip(prompts, answers, strict=True)]
    return [
        _outcome(config, names, chances_L, prompt, answer)
        for chances_L, prompt, answer in zip(
            _probabilities(config, tokenizer, model, texts), prompts, answers, strict=True
        )
    ]


def _outcome(
    config: Config, names: list[str], chances_L: list[float], prompt: Prompt, answer: str
) -> Outcome:
    correct = holds_answer(prompt, answer)
    if not answer.strip():
        return Outcome("other", correct)
    top = max(range(len(names)), key=chances_L.__getitem__)
    return Scored(config.labels[names[top]], correct, chances_L[top])


def _text(config: Config, prompt: str, answer: str) -> str:
    from rebar.judges._templates import fill

    return fill(config.text, prompt, answer)


def _checked_labels(config: Config, model: Any) -> list[str]:
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if set(names) != set(config.labels):
        raise ValueError(
            f"judges: classifier: labels: has {', '.join(config.labels)}; the model "
            f"'{config.model}' has {', '.join(names)}; map these"
        )
    return names


def _probabilities(
    config: Config, tokenizer: Any, model: Any, texts: list[str]
) -> list[list[float]]:
    import torch

    from rebar.judges._models import batches

    found: list[list[float]] = [[] for _ in texts]
    for numbers in batches(texts, config.batch_size):
        batch = tokenizer(
            [texts[number] for number in numbers],
            padding=True,
            truncation=True,
            max_length=config.max_tokens,
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            chances_BL = model(**batch).logits.float().softmax(dim=1)
        for number, chances_L in zip(numbers, chances_BL.tolist(), strict=True):
            found[number] = chances_L
    return found
