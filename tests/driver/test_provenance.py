"""Records of Snakemake come back only beside the content that they tell of."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rebar import grid
from rebar.config.file import load_config
from rebar.driver import provenance
from rebar.grid import dag
from rebar.jobs.job import make_job
from rebar.jobs.manifest import write_manifest

CONFIG = load_config("config/smoke.yaml")
ROOT = Path("results/smoke")
RECORDS = provenance.RECORDS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_corpus() -> list[Path]:
    """Manifests of all corpus jobs, each with Snakemake's record."""
    made = []
    for place in dag.all_jobs(CONFIG):
        stage, names = dag.node(place)
        if grid.STAGES[stage].target == "corpus":
            (ROOT / place).mkdir(parents=True)
            write_manifest(ROOT / place, spec=make_job(CONFIG, ROOT, stage, **names).spec)
            write_record(ROOT / place / "manifest.json", "first")
            made.append(ROOT / place)
    return made


def record(output: Path) -> Path:
    return RECORDS / provenance._name(str(output))


def write_record(output: Path, text: str) -> None:
    record(output).parent.mkdir(parents=True, exist_ok=True)
    record(output).write_text(text)


def later(path: Path) -> None:
    """As if git had just written it."""
    now = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(now, now))


def test_records_are_named_as_snakemake_does() -> None:
    from snakemake.persistence.file import FilePersistence

    class Bare(FilePersistence):
        def __init__(self) -> None:
            self._max_len = 255

    for output in ("results/smoke/summary.csv", "results/" + "long/" * 100 + "manifest.json"):
        expected = Bare()._record_path(str(RECORDS), output)
        assert str(RECORDS / provenance._name(output)) == expected


def test_saved_records_come_back_when_snakemakes_are_gone() -> None:
    folders = make_corpus()
    provenance.save(CONFIG, ROOT, "corpus")
    for path in RECORDS.iterdir():
        path.unlink()
    provenance.restore()
    assert all(record(folder / "manifest.json").read_text() == "first" for folder in folders)


def test_a_record_of_other_content_stays_away() -> None:
    first, second = make_corpus()[:2]
    provenance.save(CONFIG, ROOT, "corpus")
    for path in RECORDS.iterdir():
        path.unlink()
    (first / "manifest.json").write_text("{}")
    (second / "manifest.json").unlink()
    provenance.restore()
    assert not record(first / "manifest.json").exists()
    assert not record(second / "manifest.json").exists()


def test_snakemakes_own_newer_record_stays_and_gits_newer_one_comes() -> None:
    output = make_corpus()[0] / "manifest.json"
    provenance.save(CONFIG, ROOT, "corpus")
    write_record(output, "second")
    later(record(output))
    provenance.restore()
    assert record(output).read_text() == "second"
    kept = provenance.KEPT / "smoke" / provenance._name(str(output))
    later(kept)
    later(kept)
    provenance.restore()
    assert record(output).read_text() == "first"


def test_what_the_grid_has_no_more_is_dropped() -> None:
    make_corpus()
    folder = provenance.KEPT / "smoke"
    folder.mkdir(parents=True)
    (folder / "old").write_text("")
    (folder / "contents.json").write_text(json.dumps({"results/smoke/models/9/manifest.json": ""}))
    provenance.save(CONFIG, ROOT, "corpus")
    contents = json.loads((folder / "contents.json").read_text())
    assert len(contents) == len(list(folder.iterdir())) - 1
    assert not (folder / "old").exists()
    assert "results/smoke/models/9/manifest.json" not in contents


def test_problems_are_missing_folders_files_and_other_settings() -> None:
    first, second, third = make_corpus()[:3]
    assert list(provenance.problems(CONFIG, ROOT, "corpus")) == []
    (first / "manifest.json").unlink()
    spec = json.loads((second / "manifest.json").read_text())["spec"]
    write_manifest(second, spec=spec | {"settings": {}})
    (third / "documents").write_text("text")
    write_manifest(third, spec=json.loads((third / "manifest.json").read_text())["spec"])
    (third / "documents").unlink()
    found = dict(provenance.problems(CONFIG, ROOT, "corpus"))
    assert "is missing" in found[first]
    assert found[second] == f"{second} was made by other settings or code"
    assert "documents is missing" in found[third]


def test_files_of_the_grid_need_a_record() -> None:
    ROOT.mkdir(parents=True)
    (ROOT / "summary.csv").write_text("")
    found = dict(provenance.problems(CONFIG, ROOT, "all"))
    assert found[ROOT / "summary.csv"].startswith("Snakemake has no record of how")
    assert found[ROOT / "metrics.json"] == f"{ROOT / 'metrics.json'} is missing"
