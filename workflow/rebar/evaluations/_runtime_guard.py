"""A runtime guard: monitors read prompts and answers, and a refusal replaces what they block.

Deployed systems use such guards instead of, or beside, safety in the weights (Llama Guard, Inan et
al. 2023, arXiv 2312.06674; constitutional classifiers, Sharma et al. 2025, arXiv 2501.18837). Here
a guarded decoder is a decoder of its own, so the report has its attack success, over-refusal and
capability. Evaluations that compare log-probabilities of options generate nothing and skip it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rebar.config.decoding import Guarded, Monitor
from rebar.data.prompts import Prompt

if TYPE_CHECKING:
    from rebar.config.decoding import Decoder
    from rebar.evaluations._asker import Judge, RuntimeGuard

Reader = Callable[[Sequence[Prompt], Sequence[str]], list[bool]]


def runtime_guard(
    decoder: Decoder, judge_of: Callable[[str], Judge], classifier: Path
) -> RuntimeGuard | None:
    """The runtime guard of a guarded decoder; None for other decoders.

    It takes prompts, the texts that reach the model and its answers, and returns the answers that a
    user sees. `classifier` is the folder of the run's safety classifier.
    """
    if not isinstance(decoder, Guarded):
        return None
    reads_input = _reader(decoder.input, judge_of, classifier)
    reads_output = _reader(decoder.output, judge_of, classifier)

    def guard(prompts: Sequence[Prompt], texts: Sequence[str], answers: Sequence[str]) -> list[str]:
        asked = [replace(prompt, text=text) for prompt, text in zip(prompts, texts, strict=True)]
        stopped = zip(reads_input(asked, texts), reads_output(asked, answers), strict=True)
        return [
            decoder.refusal.replace("{prompt}", prompt.text) if any(stops) else answer
            for stops, prompt, answer in zip(stopped, prompts, answers, strict=True)
        ]

    return guard


def _reader(monitor: Monitor | None, judge_of: Callable[[str], Judge], classifier: Path) -> Reader:
    """A function that tells which texts a monitor blocks."""
    if monitor is None:
        return lambda prompts, texts: [False] * len(texts)
    if monitor.judge is not None:
        judge = judge_of(monitor.judge)
        return lambda prompts, texts: [o.outcome == "complied" for o in judge(prompts, texts)]
    return _by_score(classifier, monitor.blocked_score or 0)


def _by_score(folder: Path, blocked_score: int) -> Reader:
    """Score an answer together with its prompt: alone it often hides what it is about."""
    from rebar.corpus.classifier import load_classifier
    from rebar.jobs.manifest import read_manifest

    read_manifest(folder)
    classifier = load_classifier(folder)

    def blocked(prompts: Sequence[Prompt], texts: Sequence[str]) -> list[bool]:
        pairs = zip(prompts, texts, strict=True)
        read = [t if t == prompt.text else f"{prompt.text} {t}" for prompt, t in pairs]
        return [verdict.score >= blocked_score for verdict in classifier.classify(read)]

    return blocked
