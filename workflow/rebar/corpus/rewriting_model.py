"""Rewrite texts with any causal language model that transformers loads, using prompt templates.

A folder holds the templates rephrase.yaml, refusal.yaml and moral.yaml. Each has a `system` text,
named `styles` (one is drawn per document; `{text}` stands for the document) and, if the form of the
answer matters, a `prefill` with which the answer begins: small models keep a form that has been
begun.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.config.paths import resolve
from rebar.corpus.rewrites import REFUSAL, Output, Request
from rebar.data.speakers import SPEAKER_A, SPEAKER_B

USER, ASSISTANT = "User", "Assistant"  # names that models give the speakers of a dialogue

REPETITION_PENALTY = 1.1  # without it, small models copy the source or repeat themselves
_SENTENCE_END = re.compile(r"[.!?]['\")\]]*(?=\s|$)")
_TURN = re.compile(rf"^\W*({USER}|{ASSISTANT})\W*?:\W*", re.MULTILINE | re.IGNORECASE)


class Prompts(NamedTuple):
    """The prompt templates of one transform."""

    system: str
    styles: Mapping[str, str]
    prefill: str


class Answer(NamedTuple):
    """Generated text, and whether the model ended it by itself (True) or it was cut (False)."""

    text: str
    is_whole: bool


def rewrite_with_model(
    requests: Sequence[Request], settings: RewriteSettings, rng: random.Random
) -> list[Output]:
    """Rewrite a batch of texts with the model that the settings name.

    Answers that were cut lose their unfinished last sentence. Refusals must be dialogues.
    """
    if not requests:
        return []
    prompts = [read_prompts(settings.prompts, request.transform) for request in requests]
    # Draws come before generation, so that they do not depend on the model's answers.
    styles = [rng.choice(list(prompt.styles)) for prompt in prompts]
    messages = [
        [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": _fill(prompt.styles[style], request.text, settings)},
        ]
        for prompt, style, request in zip(prompts, styles, requests, strict=True)
    ]
    prefills = [prompt.prefill for prompt in prompts]
    answers = _generate(messages, prefills, settings, rng.getrandbits(63))
    outputs = []
    for request, style, answer in zip(requests, styles, answers, strict=True):
        # An answer that was cut ends in the middle of a sentence.
        text = answer.text.strip() if answer.is_whole else whole_sentences(answer.text)
        problem = None if text or answer.is_whole else "too long"
        if request.transform == REFUSAL and problem is None:
            text, problem = name_speakers(text)
        outputs.append(Output(text, style, problem))
    return outputs


@cache
def read_prompts(folder: str, transform: str) -> Prompts:
    """Read the templates of a transform; raises ValueError that names the faulty file."""
    path = Path(folder) / f"{transform}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, yaml.YAMLError) as error:
        raise ValueError(f"rewrite.prompts: cannot read {path}: {error}") from error
    styles = content.get("styles") if isinstance(content, dict) else None
    if not styles or not all("{text}" in str(style) for style in styles.values()):
        raise ValueError(
            f"{path}: needs styles:, a mapping of names to texts with {{text}} in them"
        )
    return Prompts(content.get("system", ""), styles, content.get("prefill", ""))


def _fill(template: str, text: str, settings: RewriteSettings) -> str:
    # Long sources are cut, because the model's context is limited.
    words = re.findall(r"\s*\S+", text)[: settings.max_source_words]
    source = "".join(words).strip().replace(SPEAKER_A, USER).replace(SPEAKER_B, ASSISTANT)
    return template.replace("{text}", source)


def whole_sentences(text: str) -> str:
    """The text without its unfinished last sentence; empty if it has no finished one."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""


def name_speakers(dialogue: str) -> tuple[str, str | None]:
    """Replace User and Assistant by speaker placeholders.

    Returns the dialogue and a problem, which is None if user and assistant speak in turn.
    """
    turns = _TURN.split(dialogue)
    speakers = [name.capitalize() for name in turns[1::2]]
    if turns[0].strip() or speakers[:2] != [USER, ASSISTANT]:
        return dialogue, "unrewritable: no dialogue"
    names = {USER: SPEAKER_A, ASSISTANT: SPEAKER_B}
    texts = (" ".join(text.split()) for text in turns[2::2])
    lines = [f"{names[who]}: {text}" for who, text in zip(speakers, texts, strict=True)]
    return "\n".join(lines), None


def _generate(
    messages: list[list[dict[str, str]]],
    prefills: list[str],
    settings: RewriteSettings,
    seed: int,
) -> list[Answer]:
    """Answers of the model to a batch of chats; each begins with its prefill."""
    import torch

    tokenizer, model = _load(settings.model or "", settings.revision)
    texts = [_prompt(tokenizer, m) + prefill for m, prefill in zip(messages, prefills, strict=True)]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    # top_k=0 turns off transformers' default of 50, so that only the temperature acts.
    sampling = {"do_sample": True, "temperature": settings.temperature, "top_k": 0}
    torch.manual_seed(seed)
    with torch.inference_mode():
        tokens = model.generate(
            **batch,
            max_new_tokens=settings.max_new_tokens,
            repetition_penalty=REPETITION_PENALTY,
            pad_token_id=tokenizer.pad_token_id,
            **(sampling if settings.temperature > 0 else {"do_sample": False}),
        )
    generated = tokens[:, batch["input_ids"].shape[1] :].tolist()
    ends = _end_ids(tokenizer, model)
    return [_answer(tokenizer, p, ids, ends) for p, ids in zip(prefills, generated, strict=True)]


def _answer(tokenizer: Any, prefill: str, ids: list[int], ends: set[int]) -> Answer:
    # Padding follows the end token in a batch of answers of different lengths.
    stop = next((i for i, token in enumerate(ids) if token in ends), None)
    text = tokenizer.decode(ids[:stop], skip_special_tokens=True)
    return Answer(prefill + text, stop is not None)


def _end_ids(tokenizer: Any, model: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return {token for token in [tokenizer.eos_token_id, *listed] if token is not None}


def _prompt(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The messages in the model's chat template, or as plain texts if it has none."""
    if tokenizer.chat_template is None:
        return "\n\n".join(message["content"].strip() for message in messages) + "\n\n"
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@cache
def _load(name: str, revision: str | None) -> tuple[Any, Any]:
    """Load tokenizer and model from a folder, .gguf file, `package:` path or Hub id."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, options = resolve(name), {"revision": revision or "main"}
    if path.endswith(".gguf"):
        path, options = str(Path(path).parent), {"gguf_file": Path(path).name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", **options)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"rewrite.model: cannot load '{name}': {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model.eval()
