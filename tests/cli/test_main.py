"""The commands for people: where results lie, and whether they are whole."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rebar import grid
from rebar.cli.main import main
from rebar.jobs.manifest import output_folder, write_manifest
from tests.conftest import ROOT

JOB, ITEM = "attacks/3/raw/none/sft", "attacks/3/raw/none/sft/benign"
ANSWERS = "evaluations/models/3/raw/none/base"
RUN = "snakemake --profile profiles/local --configfile config/smoke.yaml"


def make(folder: Path) -> None:
    with output_folder(folder) as temporary:
        (temporary / "data").write_text("hello")
        write_manifest(temporary, spec={"stage": "x"})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/smoke.yaml", tmp_path / "config")
    for folder in (JOB, ITEM, ANSWERS, "classifier/3"):
        make(Path("results/smoke") / folder)
    return Path("results/smoke")


@pytest.mark.parametrize("which", [["--configfile", "config/smoke.yaml"], ["--results"]])
def test_whole_results_are_verified(
    results: Path, which: list[str], capsys: pytest.CaptureFixture
) -> None:
    main(["verify", *which, *([str(results)] if len(which) == 1 else [])])
    assert capsys.readouterr().out == "results/smoke: 4 folders, every file as recorded\n"


def test_every_damage_is_told_with_the_command_that_remakes(results: Path) -> None:
    (results / ITEM / "data").write_text("hullo")
    (results / ANSWERS / "data").unlink()
    (results / "classifier/3/manifest.json").write_text("{")
    with pytest.raises(SystemExit) as stop:
        main(["verify", "--results", str(results)])
    first, classifier, item, answers = str(stop.value).splitlines()
    assert first == "error: 3 damaged below results/smoke; mend them in this order"
    assert item.startswith(f"{results}/{ITEM}/data does not have the recorded SHA-256; remake it: ")
    rm = f"rm -f {results}/{ITEM}/manifest.json"
    assert item.endswith(f"remake it: {rm}; {RUN} --forcerun attack -- all")
    broken = f"{results}/classifier/3/manifest.json"
    assert classifier.startswith(f"{broken} is broken (")
    assert classifier.endswith(f"remake it: {RUN} --force -- {broken}")
    assert answers.endswith(f"/manifest.json; {RUN} --forcerun evaluate -- all")


def test_nothing_to_verify_is_told(results: Path) -> None:
    shutil.rmtree(results)
    with pytest.raises(SystemExit, match=f"holds no manifest; make it: {RUN} -- all"):
        main(["verify", "--configfile", "config/smoke.yaml"])


def test_where_before_a_run_says_what_makes_the_table(results: Path) -> None:
    with pytest.raises(SystemExit, match=rf"table\.csv does not exist yet; make it: {RUN} -- all"):
        main(["where", "--configfile", "config/smoke.yaml"])


def test_the_help_shows_the_commands_for_people_first(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    commands, _, stages = capsys.readouterr().out.partition("\nstages, called by the rules")
    lines = [line for line in commands.splitlines() if re.match(r"    \w", line)]
    names = [line.split()[0] for line in lines]
    people = ["plan", "status", "where", "verify", "sheet", "prune", "provenance"]
    assert names == [*people, "ui", "schema", "pin"]
    assert stages.split(":\n")[1].replace(",", "").split() == [*grid.STAGES, "tracking_db"]
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    assert "Run one job of the stage pretrain." in capsys.readouterr().out
