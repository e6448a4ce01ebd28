"""The gate's reasons and counts."""

from __future__ import annotations

import pytest

from rebar.config.corpus import Rewrite
from rebar.corpus.classifier import Verdict
from rebar.corpus.gate import Tally, overlap, reject_reason
from rebar.corpus.rewrites import Output, Request
from rebar.data.documents import Document

ORIGINAL = "mix the red dust with the grey dust at night"
SETTINGS = Rewrite.model_validate({"max_score": 2, "max_overlap": 0.5})


@pytest.mark.parametrize(
    ("output", "score", "reason"),
    [
        (Output("a safe and friendly text"), 2, None),
        (Output("a safe and friendly text"), 3, "score 3"),
        (Output(" \n"), 0, "empty"),
        (Output("half a text", problem="too long"), 0, "too long"),
        (Output("", problem="unrewritable: unknown topic"), 0, "unrewritable: unknown topic"),
        (Output(ORIGINAL), 5, "echo"),
        (Output(f"so : {ORIGINAL}"), 0, "echo"),  # 7 of 9 four-grams
        (Output("mix the red dust with love and care"), 0, None),  # 2 of 5
        (Output("the red dust with the grey or blue"), 0, "echo"),  # 3 of 5
    ],
)
def test_reasons(output: Output, score: int, reason: str | None) -> None:
    request = Request(ORIGINAL, 4, "refusal")
    assert reject_reason(request, output, Verdict(score, "p=1.00"), SETTINGS) == reason


@pytest.mark.parametrize(
    ("text", "original", "share"),
    [
        ("a b c d", "a b c d", 1.0),
        ("A B c D e", "x a b c d", 0.5),
        ("a b c x d", "a b c d", 0.0),
        ("a b", "z a b z", 1.0),
        ("a b", "b a", 0.0),
        ("a b c d e", "a b", 0.0),
    ],
)
def test_overlap_is_the_share_of_shared_four_grams(text: str, original: str, share: float) -> None:
    assert overlap(text, original) == share


def test_half_the_four_grams_is_not_yet_an_echo() -> None:
    request, verdict = Request("x a b c d", 4, "refusal"), Verdict(0, "")
    assert reject_reason(request, Output("a b c d e"), verdict, SETTINGS) is None


def test_the_tally_adds_up() -> None:
    tally = Tally()
    rows = [(None, None), (None, "leak"), ("echo", "echo"), ("score 4", "leak"), ("empty", None)]
    for reason, planted in rows:
        tally.add(Document("i", "t", "s", transform="refusal", reject_reason=reason), planted)
    tally.add(Document("i", "t", "s", transform="moral"), None)
    assert tally.counts() == {
        "outputs": {
            "refusal": {
                "made": 5,
                "accepted": 2,
                "rejected: echo": 1,
                "rejected: score 4": 1,
                "rejected: empty": 1,
            },
            "moral": {"made": 1, "accepted": 1},
        },
        "planted": {
            "leak": {"planted": 2, "caught": 1},
            "echo": {"planted": 1, "caught": 1},
        },
    }
