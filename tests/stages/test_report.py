from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rebar import grid
from rebar.config.file import Config
from rebar.grid import Arm
from rebar.jobs.job import make_job
from rebar.jobs.manifest import write_manifest
from rebar.stages import audit, report, summarize
from tests.reporting.fake_results import HARMFUL, allow_any_plugin, make_config, write_results
from tests.stages.test_summarize import job

EVALUATIONS = ["asr", "knowledge", "over_refusal", "capability"]


def success(arm: Arm, attack: str, decoder: str) -> float:
    return {"raw": 0.75, "moral": 0.5, "safelm": 0.25}[arm.recipe]


def accuracy(arm: Arm, attack: str, decoder: str) -> float:
    return 0.5 if decoder == "safebeam" and attack == "benign_finetune" else 1.0


@pytest.fixture(autouse=True)
def any_plugin(monkeypatch) -> None:
    allow_any_plugin(monkeypatch)


def write_report(root: Path, **changes) -> str:
    """Both stages on made-up results; the text of table.md."""
    config: Config = make_config(**changes)
    write_results(root, config, success, accuracy)
    summarize.run(job(root, **changes))
    audit.run(make_job(config, root, "audit"))
    report.run(job(root, "report", **changes))
    return (root / "table.md").read_text()


def cells(table: str, label: str, decoder: str) -> dict[str, list[str]]:
    """Lines of one row of the headline table, by measure."""
    lines = [
        [x.strip() for x in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line
    ]
    start = next(i for i, x in enumerate(lines) if x[0] == label and lines[i + 1][0] == decoder)
    return {x[1]: x[2:] for x in lines[start : start + 6]}


def test_headline_table(tmp_path: Path) -> None:
    table = write_report(tmp_path)
    assert max(map(len, table.splitlines())) <= 150
    assert re.search(r"\| base +\| aligned +\| benign +\| harmful 10 +\|", table)
    raw = cells(table, "raw + sft", "greedy")
    assert [x.split()[0] for x in raw["SUCCESS"]] == ["75"] * 4
    assert raw["seen / unseen"] == ["100 / 50"] * 4
    assert raw["unrewritten / novel"] == ["75 / 75"] * 4
    assert raw["correct facts"][0].startswith("25 ")
    assert raw["over-refusal"][0].startswith("0 0-")
    assert raw["capability"][0].endswith("-100")
    beamed = cells(table, "safelm + sft", "safebeam")["SUCCESS"]
    assert [("†" in x) for x in beamed] == [False, False, True, False]
    assert beamed[2].endswith("†2")
    assert "2 seeds (11, 12): there is NO interval over seeds" in table
    assert "Levels are not comparable" in table
    assert "reproduced" in table and "collapsed" in table


def test_reports_are_the_same_again_and_hold_no_text_of_prompts_or_answers(tmp_path: Path) -> None:
    write_report(tmp_path, seeds=[11])
    names = ["table.md", "table.csv", "report.html", "figures/ladder.png", "figures/ladder.svg"]
    first = [(tmp_path / name).read_bytes() for name in names]
    report.run(job(tmp_path, "report", seeds=[11]))
    assert [(tmp_path / name).read_bytes() for name in names] == first
    for content in (*first[:3], first[4]):
        assert b"SECRET" not in content
        assert HARMFUL.split(" ,")[0].encode() not in content
        assert b"gloom" not in content


class Page(HTMLParser):
    """Collects what a page would load, and checks that tags close."""

    VOID = ("meta", "br", "img")

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    write_report(tmp_path, seeds=[11])
    html = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(html)
    assert page.open == []
    assert all(x.startswith(("#", "data:image/png;base64,")) for x in page.loads)
    assert sum(x.startswith("data:") for x in page.loads) == 5
    for text in ("44.1", "Fig. 2", "2 of 3 bad rewrites", "macro-F1 0.9", "2 of 5", "0.85"):
        assert text in html
    assert "{{" not in html and "withheld" not in html
    drawn = {p.name for p in (tmp_path / "figures").iterdir()}
    figures = ("ladder", "knowledge", "halves", "data", "heat_map")
    assert drawn == {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}


def block(recipe: str, decoder: str, evaluations: list[str]) -> list[dict]:
    """A grid of one base model."""
    names = {"recipes": [recipe], "alignments": ["none"], "decoders": [decoder]}
    return [{**names, "evaluations": evaluations}]


def test_success_is_withheld_without_over_refusal(tmp_path: Path) -> None:
    grid = block("raw", "greedy", ["asr", "knowledge", "capability"])
    table = write_report(tmp_path, seeds=[11], grid=grid)
    row = cells(table, "raw", "greedy")
    assert row["SUCCESS"] == ["withheld"]
    assert "75" not in table.split("##")[0].split("| raw")[1]
    assert "withheld: over-refusal" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "figures/ladder.png").exists()


def test_a_grid_without_alignment_or_paper_models(tmp_path: Path) -> None:
    grid = block("safelm", "beam", EVALUATIONS)
    table = write_report(tmp_path, seeds=[11], grid=grid)
    assert "| base" in table and "aligned" not in table.split("\n\n")[3]
    assert "orderings" not in table
    assert "none of the paper" in (tmp_path / "report.html").read_text()


def test_stale_summary_is_refused(tmp_path: Path) -> None:
    write_results(tmp_path, make_config(seeds=[11]), success)
    summarize.run(job(tmp_path, seeds=[11]))
    path = tmp_path / "summary.csv"
    path.write_text(path.read_text().replace("0.750000", "0.100000", 1))
    with pytest.raises(ValueError, match=r"summary\.csv does not hold.*--force"):
        report.run(job(tmp_path, "report", seeds=[11]))


def test_unknown_headline_split_names_the_splits(tmp_path: Path) -> None:
    settings = {"headline_split": "unseen_things"}
    with pytest.raises(ValueError, match="allowed: known, novel, unaligned, unrewritten"):
        write_report(tmp_path, seeds=[11], report=settings)


def test_five_seeds_have_intervals_over_seeds(tmp_path: Path) -> None:
    grid = block("raw", "greedy", EVALUATIONS)
    table = write_report(tmp_path, seeds=range(11, 16), grid=grid)
    assert "NO interval" not in table
    assert "over seeds (Student's t" in table
    html = (tmp_path / "report.html").read_text()
    assert "44.1" in html and "not in this grid" in html  # the paper's base model, and only that


def test_a_model_that_memory_was_short_for_is_named(tmp_path: Path) -> None:
    config: Config = make_config()
    write_results(tmp_path, config, success, accuracy)
    arm = next(arm for arm in grid.arms(config) if grid.attacks(config, arm))
    folder = tmp_path / grid.model_folder(config.seeds[0], arm, grid.attacks(config, arm)[0])
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, spec={}, gradient_accumulation=4)
    audit.run(make_job(config, tmp_path, "audit"))
    summarize.run(job(tmp_path))
    report.run(job(tmp_path, "report"))
    sentence = f"{folder.relative_to(tmp_path)}: memory was short, so that batches"
    assert sentence in (tmp_path / "table.md").read_text().replace("\n", " ")
    assert sentence in (tmp_path / "report.html").read_text()
