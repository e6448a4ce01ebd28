"""How far a grid is, and what can go."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from rebar import grid
from rebar.cli.main import main
from rebar.config.file import load_config
from rebar.driver.status import states
from rebar.grid import dag
from rebar.jobs.manifest import output_folder, write_manifest
from tests.conftest import ROOT

ROOT_OF_RESULTS = Path("results/smoke")
BASE = Path("models/11/raw/none/base")


def make(place: Path, seconds: float = 0) -> Path:
    """A finished folder of the results."""
    with output_folder(ROOT_OF_RESULTS / place) as folder:
        (folder / "data").write_text("x" * 1000)
        (folder / "costs.json").write_text(json.dumps({"seconds": seconds}))
        write_manifest(folder, spec={"stage": "x"})
    return ROOT_OF_RESULTS / place


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/smoke.yaml", tmp_path / "config")


def test_done_running_failed_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    make(Path("corpus/11/collected/0"), seconds=7200)
    log = touch(ROOT_OF_RESULTS / "logs/score/corpus/11/scored/0.log")
    lock = touch(
        ROOT_OF_RESULTS / grid.lock_file("pretrain", dag.node(BASE).wildcards),
    )
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        main(["status", "--configfile", "config/smoke.yaml"])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if "  " in line}
    assert rows["collect"] == ["1", "0", "0", "0", "2.00", "0.0"]
    assert rows["pretrain"] == ["0", "1", "0", "1", "0.00", "0.0"]
    assert rows["score"][:4] == ["0", "0", "1", "0"]
    assert rows["all"][:4] == ["1", "1", "1", "19"]
    assert lines[-1].strip() == str(log)


def test_a_lock_that_nobody_holds_is_no_run() -> None:
    touch(ROOT_OF_RESULTS / grid.lock_file("pretrain", dag.node(BASE).wildcards))
    config = load_config("config/smoke.yaml")
    assert {state.state for state in states(config, ROOT_OF_RESULTS)} == {"waiting"}


def test_prune_lists_and_removes_only_what_no_config_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    attack = Path("attacks/11/raw/none/sft")
    kept = [make(p) for p in (BASE, attack, attack / "harmful_finetune_10", "evaluations" / BASE)]
    dropped = [make(attack / "gone"), make(Path("models/7/raw/none/base"))]
    make(Path("attacks/11/old/none/sft/harmful_finetune_10"))
    dropped.append(make(Path("attacks/11/old/none/sft")))  # its item goes with it
    spent = touch(ROOT_OF_RESULTS / "checkpoints" / BASE / "step-000000010.safetensors").parent
    live = touch(
        ROOT_OF_RESULTS / "checkpoints/models/11/safelm/none/base/step-000000010.safetensors"
    )
    main(["prune", "--configfile", "config/smoke.yaml"])
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("4 folders, ")
    assert all(path.exists() for path in (*kept, *dropped, spent))
    main(["prune", "--configfile", "config/smoke.yaml", "--delete"])
    assert not any(path.exists() for path in (*dropped, spent))
    assert all(path.exists() for path in (*kept, live))
    capsys.readouterr()
    main(["prune", "--configfile", "config/smoke.yaml"])
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to remove"


def test_prune_keeps_what_another_config_of_the_same_results_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = Path("config/smoke.yaml").read_text().replace("seeds: [11]", "seeds: [7]")
    Path("config/more.yaml").write_text(other)
    Path("config/broken.yaml").write_text("name: [")
    make(Path("models/7/raw/none/base"))
    main(["prune", "--configfile", "config/smoke.yaml"])
    assert capsys.readouterr().out.splitlines() == [
        "needed by config/smoke.yaml, config/more.yaml: everything that is not listed here",
        "nothing to remove",
    ]


def test_nothing_is_removed_under_a_running_job() -> None:
    lock = touch(ROOT_OF_RESULTS / "locks/pretrain-0.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="jobs of results/smoke are running"):
            main(["prune", "--configfile", "config/smoke.yaml", "--delete"])
