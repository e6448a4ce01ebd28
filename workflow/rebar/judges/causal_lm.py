"""Any causal language model of a folder or the Hub as a judge, with its template.

HarmBench's classifier (Mazeika et al. 2024, arXiv 2402.04249), Llama Guard (Inan et al. 2023, arXiv
2312.06674), WildGuard (Han et al. 2024, arXiv 2406.18495), StrongREJECT's rubric and its fine-tuned
judge (Souly et al. 2024, arXiv 2402.10260): config/prompts/judges has a template of each. The reply
is generated greedily, or only the probabilities of its first token are read, which costs one
forward and always gives a verdict. Legend: B answers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from rebar.config.base import Positive, Share
from rebar.config.kinds import Judge
from rebar.data.prompts import Prompt, holds_answer
from rebar.judges import Outcome, Scored
from rebar.judges._models import batches, load
from rebar.judges._templates import (
    Template,
    fill_messages,
    grade_score,
    read_reply,
    read_template,
    settle_unreadable,
)


class Config(Judge):
    """Settings of `causal_lm`."""

    method: Literal["causal_lm"]
    model: str = Field(description="causal LM as a folder, `package:` path or Hub id")
    revision: str | None = Field(default=None, description="commit of the Hub's model")
    template_file: str = Field(
        description="template file, such as config/prompts/judges/harmbench.yaml"
    )
    max_answer_words: Positive = Field(default=600, description="longer answers are cut")
    batch_size: Positive = Field(default=8, description="answers at a time")
    max_unreadable: Share = Field(
        default=0.05, description="share of replies that may be unreadable; they count as other"
    )

    @property
    def judging_model(self) -> str:
        """`model`."""
        return self.model


def judge(config: Config, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Outcome]:
    """One outcome for each answer, in order; an empty answer is `other`.

    ValueError if more than `max_unreadable` of the replies cannot be read.
    """
    template = read_template(config.template_file)
    tokenizer, model = load("causal_lm", config.model, config.revision)
    asked = [number for number, answer in enumerate(answers) if answer.strip()]
    texts = [
        _text(template, tokenizer, prompts[number].text, _cut(config, answers[number]))
        for number in asked
    ]
    found: dict[int, Outcome | None] = {}
    for numbers in batches(texts, config.batch_size):
        chosen = [asked[number] for number in numbers]
        pairs = [(prompts[number], answers[number]) for number in chosen]
        batch = _encoded(tokenizer, model, [texts[number] for number in numbers])
        read = _read_words if template.choices or template.ratings else _read_replies
        found |= dict(zip(chosen, read(template, tokenizer, model, batch, pairs), strict=True))
    empty = Outcome("other", False)
    outcomes = [found[n] if n in found else empty for n in range(len(answers))]
    return settle_unreadable(outcomes, config.max_unreadable, "causal_lm")


def _cut(config: Config, answer: str) -> str:
    words = answer.split()
    longest = config.max_answer_words
    return answer if len(words) <= longest else " ".join(words[:longest])


def _text(template: Template, tokenizer: Any, prompt: str, answer: str) -> str:
    """The exact text that the judge reads, with special tokens."""
    messages = fill_messages(template, prompt, answer)
    if template.text is not None:
        return f"{tokenizer.bos_token or ''}{messages[0]['content']}"
    if tokenizer.chat_template is None:
        raise ValueError(
            "judges: causal_lm: the model has no chat template; write text: in place of messages:"
        )
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _encoded(tokenizer: Any, model: Any, texts: list[str]) -> Any:
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    return {key: batch[key].to(model.device) for key in ("input_ids", "attention_mask")}


def _read_replies(
    template: Template, tokenizer: Any, model: Any, batch: Any, pairs: list[tuple[Prompt, str]]
) -> list[Outcome | None]:
    import torch

    with torch.inference_mode():
        tokens = model.generate(
            **batch,
            max_new_tokens=template.max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
    replies = tokenizer.batch_decode(
        tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return [read_reply(template, reply, *pair) for reply, pair in zip(replies, pairs, strict=True)]


def _read_words(
    template: Template, tokenizer: Any, model: Any, batch: Any, pairs: list[tuple[Prompt, str]]
) -> list[Outcome | None]:
    """Relative probabilities of the template's words as the first token of the reply."""
    import torch

    groups = list(template.choices.values()) or [[word] for word in template.ratings]
    ids = [_first_tokens(tokenizer, words) for words in groups]
    if len({token for group in ids for token in group}) < sum(map(len, ids)):
        raise ValueError(
            "judges: causal_lm: choices and ratings must differ in their first token; this "
            "model's tokenizer begins two of them alike"
        )
    with torch.inference_mode():
        logits_BV = model(**batch, logits_to_keep=1).logits[:, -1].float()
    chances_BV = logits_BV.softmax(dim=1)
    sums = torch.stack([chances_BV[:, group].sum(dim=1) for group in ids], dim=1)
    shares = (sums / sums.sum(dim=1, keepdim=True)).tolist()
    return [_weighed(template, row, *pair) for row, pair in zip(shares, pairs, strict=True)]


def _first_tokens(tokenizer: Any, words: list[str]) -> list[int]:
    return sorted({tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words})


def _weighed(template: Template, shares: list[float], prompt: Prompt, answer: str) -> Outcome:
    correct = holds_answer(prompt, answer)
    if template.ratings:
        last = len(shares) - 1
        score = sum(place * share for place, share in enumerate(shares)) / last
        return Scored(grade_score(template, score), correct, score)
    names = list(template.choices)
    top = max(range(len(names)), key=shares.__getitem__)
    harm = shares[names.index("complied")] if "complied" in names else 1 - shares[top]
    return Scored(names[top], correct, harm)
