"""Rewrite unsafe texts into safer ones, from the text and its score only.

Texts with scores 1-3 are rephrased, scores 4-5 become refusal dialogues, and moral texts are made
from those refusals (Maini et al. 2025, arXiv 2504.16980, section 3). Every output passes the gate.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from rebar.config.corpus import Rewrite as RewriteSettings
from rebar.corpus.classifier import Classifier
from rebar.corpus.gate import reject_reason
from rebar.corpus.rewrites import MORAL, REFUSAL, REPHRASE, Output, Request
from rebar.data.documents import Document


class RewriteOutcome(NamedTuple):
    """A row of the table of rewrites, and the error planted in it, if any."""

    document: Document
    planted: str | None


def rewrite(
    requests: Sequence[Request], settings: RewriteSettings, rng: random.Random
) -> list[Output]:
    """Rewrite texts with the backend that the settings name, the world's or a language model."""
    if settings.backend == "transformers":
        from rebar.corpus.rewriting_model import rewrite_with_model

        return rewrite_with_model(requests, settings, rng)
    return [_rewrite_in_world(request, settings, rng) for request in requests]


def _rewrite_in_world(request: Request, settings: RewriteSettings, rng: random.Random) -> Output:
    from rebar import world

    try:
        made = world.rewrite(request.text, request.score, request.transform, rng, settings)
    except world.UnrewritableError as reason:
        return Output("", problem=f"unrewritable: {reason}")
    return Output(made.text, made.style, planted=made.planted)


def transform_of(score: int | None, settings: RewriteSettings) -> str | None:
    """The transform for an original with this score; None if it is not rewritten."""
    if score in settings.refusal_scores:
        return REFUSAL
    return REPHRASE if score in settings.rephrase_scores else None


def rewrite_documents(
    documents: Sequence[Document],
    settings: RewriteSettings,
    classifier: Classifier,
    rng: random.Random,
) -> list[RewriteOutcome]:
    """Rewrite scored originals; parents come before children, rejected rewrites keep their reason.

    Moral texts are made from a random share of the refusals that passed the gate.
    """
    sources: list[tuple[Document, str]] = []
    for document in documents:
        transform = transform_of(document.score, settings)
        assert transform is not None, document.id
        # Several refusals per document, because the model must meet many ways to refuse (SafeLM).
        copies = settings.refusals_per_document if transform == REFUSAL else 1
        sources += [(document, transform)] * copies
    # Morals need finished refusals, so they are made in a second pass.
    first = _rewrite_and_judge(sources, settings, classifier, rng)
    refusals = [
        (document, MORAL)
        for document, _ in first
        if document.transform == REFUSAL
        and document.reject_reason is None
        and rng.random() < settings.morals_per_refusal
    ]
    return first + _rewrite_and_judge(refusals, settings, classifier, rng)


def _rewrite_and_judge(
    sources: Sequence[tuple[Document, str]],
    settings: RewriteSettings,
    classifier: Classifier,
    rng: random.Random,
) -> list[RewriteOutcome]:
    requests = [Request(d.text, _score_of(d), transform) for d, transform in sources]
    outputs = rewrite(requests, settings, rng)
    # All outputs in one call, because the classifier works in batches.
    verdicts = classifier.classify([output.text for output in outputs])
    rewritten, siblings = [], defaultdict(list)
    for (parent, _), request, output, verdict in zip(
        sources, requests, outputs, verdicts, strict=True
    ):
        reason = reject_reason(request, output, verdict, settings)
        # A second equal rewrite of one document would count its text twice.
        if reason is None and output.text in siblings[parent.id]:
            reason = "duplicate"
        number = len(siblings[parent.id])
        siblings[parent.id].append(output.text)
        document = Document(
            id=f"{parent.id}.{request.transform}{number}",
            text=output.text,
            source=parent.source,
            score=verdict.score if output.text else None,
            score_reason=verdict.reason if output.text else None,
            parent_id=parent.id,
            transform=request.transform,
            style=output.style,
            generator=settings.model or settings.backend,
            reject_reason=reason,
        )
        rewritten.append(RewriteOutcome(document, output.planted))
    return rewritten


def _score_of(document: Document) -> int:
    assert document.score is not None, document.id
    return document.score
