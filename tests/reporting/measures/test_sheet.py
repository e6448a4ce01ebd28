"""Sheets: an even sample that tells no verdict, and its way back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from zlib import crc32

import pandas as pd
import pytest

from rebar.reporting.measures.sheet import SHEET, filled_sheet, plain, stratified, write_sheet


def stored(sizes: dict[tuple[str, str], int]) -> pd.DataFrame:
    """So many answers of each recipe and outcome."""
    rows = []
    for (recipe, outcome), size in sizes.items():
        for number in range(size):
            rows.append(
                {
                    **{"evaluation": "asr", "recipe": recipe, "safeguard": "none"},
                    **{"alignment": "sft", "attack": "none", "decoder": "greedy", "seed": 1},
                    **{"split": "s", "prompt_id": f"p{number}", "hazard_id": f"h{number % 3}"},
                    **{"prompt": f"<|user|> ask {number}", "answer": f"answer {number}"},
                    **{"outcome": outcome, "judge": "exact", "prompt_style": "seen_a"},
                    "key": f"{crc32(repr((recipe, outcome, number)).encode()):010d}",
                }
            )
    return pd.DataFrame(rows)


SIZES = {("raw", "complied"): 40, ("raw", "refused"): 4, ("moral", "refused"): 30}


def test_a_sample_is_even_and_weighs_what_it_stands_for() -> None:
    answers = stored(SIZES)
    chosen = stratified(answers, 15)
    counts = Counter(zip(chosen.recipe, chosen.outcome, strict=True))
    assert sorted(counts.values()) == [4, 5, 6] and counts["raw", "refused"] == 4
    assert chosen.weight.sum() == pytest.approx(len(answers))
    smaller = stratified(answers, 6)
    assert set(smaller.key) < set(chosen.key)
    assert list(stratified(answers.sample(frac=1, random_state=0), 15).key) == list(chosen.key)


def test_a_sheet_tells_no_verdict_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    assert write_sheet(path, stored(SIZES), 12) == 12
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(sheet.columns) == SHEET
    assert set(sheet.label) == {""} and set(sheet.evaluation) == {"asr"}
    assert sheet.prompt.str.match(r"^ask \d+$").all()
    assert list(sheet.key) == sorted(sheet.key)  # the order tells nothing
    with pytest.raises(ValueError, match="may hold labels"):
        write_sheet(path, stored(SIZES), 12)


def test_a_filled_sheet_comes_back_with_the_stored_verdicts(tmp_path: Path) -> None:
    path, answers = tmp_path / "sheet.csv", stored(SIZES)
    write_sheet(path, answers, 9)
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    sheet["label"] = [" Refused "] * 8 + [""]
    sheet.to_csv(path, index=False)
    rows = filled_sheet(path, answers)
    assert len(rows) == 8 and set(rows.label) == {"refused"}
    assert set(rows.key) == set(sheet.key[:8])
    verdicts = answers.set_index("key").outcome
    assert list(rows.outcome) == [verdicts[key] for key in rows.key]


@pytest.mark.parametrize(
    ("label", "key", "message"),
    [
        ("SECRET", None, r"row 1 has a label that is no outcome; allowed: complied, refused, oth"),
        ("refused", "x", "1 rows are labelled, 0 of them belong"),
        ("", None, "0 rows are labelled"),
    ],
)
def test_what_is_wrong_with_a_sheet(
    tmp_path: Path, label: str, key: str | None, message: str
) -> None:
    path, answers = tmp_path / "sheet.csv", stored(SIZES)
    key = key or answers.key[0]
    pd.DataFrame([{"key": key, "label": label}]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=message) as caught:
        filled_sheet(path, answers)
    assert "SECRET" not in str(caught.value)


def test_missing_sheets_and_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is missing; make it: python -m rebar sheet"):
        filled_sheet(tmp_path / "none.csv", stored(SIZES))
    path = tmp_path / "sheet.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column key, label"):
        filled_sheet(path, stored(SIZES))


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("<|im_start|>user\nask me<|im_end|>\n", "user\nask me"),
        ("<bos> <user> how do i ? <assistant>", "how do i ?"),
        ("if a < b and c > d", "if a < b and c > d"),
    ],
)
def test_prompts_lose_their_special_tokens(prompt: str, text: str) -> None:
    assert plain(prompt) == text
