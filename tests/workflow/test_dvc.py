"""DVC over the Snakemake DAG: one definition of it, the round trip, and each silent trap."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from rebar import grid
from rebar.config.file import load_config
from rebar.grid import dag
from tests.grid_runs import state_of
from tests.workflow.conftest import ROOT, copy_project, environment, planned, said, snakemake

Edit = Callable[[Path, str, str], None]
RESULTS = Path("results/smoke")
GRID = {"audit": 1, "summarize": 1, "report": 1, "track": 1}
IN_GIT = ("dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")
VERSIONED = {"summary.csv", "metrics.json", "headline.csv"}


def slow(test: Callable) -> Callable:
    """Runs in `make test-slow`; the first one also makes the grid that all share."""
    return pytest.mark.slow(pytest.mark.timeout(1800)(test))


# ------------------------------------------------------------------ dvc.yaml and the rules


def stages() -> dict[str, Any]:
    """The stages of dvc.yaml for the smoke grid."""
    text = (ROOT / "dvc.yaml").read_text().replace("${name}", "smoke")
    return yaml.safe_load(text.replace("${config}", "config/smoke.yaml"))["stages"]


SEARCHES = "results/smoke/searches"  # the smoke grid has none: an empty folder


def outs(stage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Outputs of a stage with their options."""
    entries = [*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]
    return {path: options for entry in entries for path, options in entry.items()}


def made_by_rules(project: Path, target: str) -> dict[str, str]:
    """All outputs that Snakemake makes for a target, with their rules."""
    result = snakemake(project, "--summary", "--", target)
    assert result.returncode == 0, said(result)
    lines = [line.split("\t") for line in result.stdout.splitlines() if "\t" in line]
    return {line[0]: line[2] for line in lines if line[0] != "output_file"}


def test_the_config_is_named_once() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert text.count("config/demo.yaml") == 1
    config, names = yaml.safe_load(text)["vars"]
    assert config == {"config": names}
    assert "demo" not in text.replace("config/demo.yaml", "")


def test_every_out_is_made_by_the_target_and_every_output_is_versioned(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    before: dict[str, str] = {}
    for name, stage in stages().items():
        script, config, target = stage["cmd"].split()
        assert (script, config) == ("workflow/dvc_stage.sh", "config/smoke.yaml")
        made = made_by_rules(project, target)
        new = {path: rule for path, rule in made.items() if path not in before}
        for path in set(outs(stage)) - {SEARCHES}:
            assert any(p == path or p.startswith(f"{path}/") for p in new), (name, path)
        for path in new:
            assert any(p == path or path.startswith(f"{p}/") for p in outs(stage)), (name, path)
        before |= new
    ours = {*grid.STAGES, "tracking_db"}
    assert set(before.values()) == ours - {"search", "safeguard"}


def test_stages_depend_on_the_whole_config_the_code_and_the_stages_before() -> None:
    earlier: list[str] = []
    for stage in stages().values():
        assert stage["params"] == [{"config/smoke.yaml": None}]
        read = [dep for dep in stage["deps"] if dep.startswith("results/")]
        assert {"workflow/rebar", "workflow/rules"} <= set(stage["deps"])
        assert set(read) <= set(earlier)
        assert all((ROOT / dep).exists() for dep in stage["deps"] if dep not in read)
        assert bool(read) == bool(earlier)
        earlier += outs(stage)


def test_no_out_is_deleted_or_restored_from_the_run_cache() -> None:
    options = {
        path: options for stage in stages().values() for path, options in outs(stage).items()
    }
    assert all(o["persist"] is True for o in options.values())
    in_git = {Path(path).name for path, o in options.items() if o.get("cache") is False}
    assert in_git == VERSIONED


def test_stages_check_and_keep_what_their_targets_make() -> None:
    targets = [stage["cmd"].split()[2] for stage in stages().values()]
    assert targets == list(grid.TARGETS)
    by_target = [n for target in targets for n, s in grid.STAGES.items() if s.target == target]
    assert by_target == list(grid.STAGES)


def test_the_corpus_has_what_only_an_alignment_reads(tmp_path: Path, edit: Edit) -> None:
    project = copy_project(tmp_path)
    config = project / "config/smoke.yaml"
    text = config.read_text()
    text = text.replace("recipe: safelm", "recipe: extra")
    text = text.replace(
        "recipes:\n  raw:", "recipes:\n  extra:\n    parts:\n      - {transform: moral}\n  raw:", 1
    )
    config.write_text(text)
    jobs = dag.all_jobs(load_config(config))
    assert "corpus/11/packed/extra" in map(str, jobs)
    assert str(RESULTS / "corpus/11/packed/extra/manifest.json") in made_by_rules(project, "corpus")


# ------------------------------------------------------------------------- the round trip


def run(project: Path, *command: str) -> subprocess.CompletedProcess:
    """A command with an identity for git; its mistakes are the caller's."""
    git = {"NAME": "test", "EMAIL": "test@example.org"}
    identity = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in git.items()}
    return subprocess.run(
        command,
        cwd=project,
        env=environment(project) | identity,
        capture_output=True,
        text=True,
        check=False,
    )


def ok(project: Path, *command: str) -> str:
    """What a command printed that has to succeed."""
    result = run(project, *command)
    assert result.returncode == 0, said(result)[-5000:]
    return said(result)


def finished_jobs(output: str) -> dict[str, int]:
    """Jobs by rule that Snakemake finished, without targets."""
    rules = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output)
    made = {rule: rules.count(rule) for rule in rules}
    return {rule: n for rule, n in made.items() if rule in grid.JOB_STAGES or rule in GRID}


def repro(project: Path) -> dict[str, int]:
    """Jobs that `dvc repro` ran."""
    return finished_jobs(ok(project, "dvc", "repro", "--no-run-cache"))


def is_clean(project: Path) -> bool:
    """True if neither DVC nor git sees a change."""
    assert "up to date" in ok(project, "dvc", "status")
    return ok(project, "git", "status", "--porcelain") == ""


def damaged_objects(project: Path) -> list[Path]:
    """Files of DVC's cache whose content is not the one that they are named after."""
    objects = [p for p in (project / ".dvc/cache/files/md5").rglob("*") if p.is_file()]
    assert objects

    def is_whole(path: Path) -> bool:
        name = path.parent.name + path.name.removesuffix(".dir")
        return hashlib.md5(path.read_bytes()).hexdigest() == name

    return [path for path in objects if not is_whole(path)]


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project with its smoke grid made by `dvc repro`, committed and pushed."""
    folder = tmp_path_factory.mktemp("dvc")
    source = copy_project(folder / "source")
    for name in IN_GIT:
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    ok(source, "git", "init", "--quiet")
    ok(source, "git", "add", "--all")
    ok(source, "git", "commit", "--quiet", "-m", "the project")
    ok(folder, "git", "clone", "--quiet", str(source), str(folder / "project"))
    project = folder / "project"
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("config/demo.yaml", "config/smoke.yaml"))
    ok(project, "dvc", "remote", "add", "--default", "local", str(folder / "remote"))
    jobs = repro(project)
    assert jobs["pretrain"] == 2
    untracked = ok(project, "git", "status", "--porcelain", "--untracked-files=all")
    created = {line[3:] for line in untracked.splitlines() if line.startswith("??")}
    made = {str(RESULTS / name) for name in VERSIONED}
    assert {path for path in created if not path.startswith("provenance/")} == made | {"dvc.lock"}
    ok(project, "git", "add", "--all")
    ok(project, "git", "commit", "--quiet", "-m", "smoke")
    ok(project, "dvc", "push")
    assert is_clean(project)
    return project


@pytest.fixture
def project(versioned: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(versioned, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def aligned_success(project: Path) -> float:
    """Attack success of the plain aligned model, by the summary."""
    rows = pd.read_csv(project / RESULTS / "summary.csv", keep_default_na=False)
    cell = {"recipe": "raw", "alignment": "sft", "attack": "none", "decoder": "greedy"}
    asked = {**cell, "evaluation": "asr", "split": "unaligned", "metric": "attack_success"}
    (value,) = rows[(rows[list(asked)] == list(asked.values())).all(axis=1)].value
    return value


@slow
def test_a_clone_with_pulled_results_has_nothing_to_do(versioned: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    ok(tmp_path, "git", "clone", "--quiet", str(versioned), str(clone))
    assert planned(clone)["pretrain"] == 2, "without results the records hide nothing"
    ok(clone, "dvc", "pull")
    assert planned(clone) == {}
    assert is_clean(clone)
    assert repro(clone) == {}
    assert state_of(clone / RESULTS) == state_of(versioned / RESULTS)


@slow
def test_a_parameter_by_dvc_its_metrics_and_the_way_back(project: Path, edit: Edit) -> None:
    before, success_before = state_of(project / RESULTS), aligned_success(project)
    edit(
        project / "config/smoke.yaml", "world: {method: world}", "world: {method: refusal_phrases}"
    )
    assert repro(project) == {"evaluate": 5, "probe": 2, **GRID}
    changed = json.loads(ok(project, "dvc", "metrics", "diff", "--json"))
    numbers = changed[str(RESULTS / "metrics.json")]
    success = numbers["raw/none/sft/greedy.aligned.attack_success"]
    success_after = aligned_success(project)
    assert 0.05 < success_before < success_after  # what says no by no phrase counts as compliance
    assert (success["old"], success["new"]) == (success_before, success_after)
    plot = json.loads(ok(project, "dvc", "plots", "diff", "HEAD", "--json"))
    (shown,) = plot["data"][str(RESULTS / "headline.csv")]
    bars = shown["content"]["data"]["values"]
    aligned = {
        b["rev"]: b["attack_success"] for b in bars if b["model"] == "raw/none/sft/greedy aligned"
    }
    assert {rev: float(value) for rev, value in aligned.items()} == {
        "HEAD": success_before,
        "workspace": success_after,
    }
    states = {"HEAD~1": before, "-": state_of(project / RESULTS)}
    assert before != states["-"]
    ok(project, "git", "add", "--all")
    ok(project, "git", "commit", "--quiet", "-m", "another judge")
    for commit, state in states.items():
        ok(project, "git", "checkout", "--quiet", commit)
        ok(project, "dvc", "checkout")
        assert state_of(project / RESULTS) == state
        assert planned(project) == {}
        assert is_clean(project)


@slow
def test_a_parameter_by_snakemake_first(project: Path, edit: Edit) -> None:
    old, new = (
        "asr: {method: asr, judge: world}",
        "asr: {method: asr, judge: world, max_new_tokens: 12}",
    )
    edit(project / "config/smoke.yaml", old, new)
    result = snakemake(project, "--", "all")
    assert result.returncode == 0, said(result)[-5000:]
    assert finished_jobs(said(result)) == {"evaluate": 5, **GRID}
    made = state_of(project / RESULTS)
    assert repro(project) == {}
    assert state_of(project / RESULTS) == made
    assert "up to date" in ok(project, "dvc", "status")


@slow
def test_an_experiment(project: Path) -> None:
    setting = "config/smoke.yaml:attacks.harmful_finetune_10.examples=20"
    before = state_of(project / RESULTS)
    output = ok(project, "dvc", "exp", "run", "--name", "more", "-S", setting)
    assert finished_jobs(output) == {"attack": 2, "evaluate": 2, "probe": 2, **GRID}
    assert "more" in ok(project, "dvc", "exp", "list")
    shown = json.loads(ok(project, "dvc", "params", "diff", "--json"))
    key = "attacks.harmful_finetune_10.examples"
    assert shown["config/smoke.yaml"][key]["new"] == 20
    assert planned(project) == {}
    ok(project, "dvc", "exp", "branch", "more", "tried")
    states = {"HEAD": before, "tried": state_of(project / RESULTS)}
    assert states["tried"]["summary.csv"] != before["summary.csv"]
    for branch, state in states.items():
        ok(project, "git", "checkout", "--quiet", "--force", branch)
        ok(project, "dvc", "checkout", "--force")
        assert state_of(project / RESULTS) == state
        assert planned(project) == {}
        assert is_clean(project)


# ------------------------------------------------------------------------ the silent traps


@slow
def test_stale_models_are_not_recorded_under_new_parameters(project: Path, edit: Edit) -> None:
    edit(project / "config/smoke.yaml", "learning_rate: 8.0e-3", "learning_rate: 9.0e-3")
    shutil.rmtree(project / ".snakemake")
    assert planned(project)["pretrain"] == 2, "the records of git show the change"
    shutil.rmtree(project / ".snakemake")
    shutil.rmtree(project / "provenance")
    assert planned(project, "--", "models") == {}, "the trap: Snakemake has nothing to compare with"
    lock = (project / "dvc.lock").read_text()
    result = run(project, "dvc", "repro", "--no-run-cache")
    assert result.returncode != 0
    assert "models/11/raw/none/base was made by other settings or code; remake it: " in said(result)
    now = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["models"]
    assert now == yaml.safe_load(lock)["stages"]["models"]


@slow
def test_the_run_cache_is_never_written_nor_used(project: Path) -> None:
    (project / RESULTS / "metrics.json").unlink()
    assert finished_jobs(ok(project, "dvc", "repro"))["summarize"] == 1
    assert not (project / ".dvc/cache/runs").exists()


@slow
def test_what_is_appended_in_place_stays_out_of_the_cache(project: Path) -> None:
    for path in (project / RESULTS / "models").rglob("*"):
        assert not path.is_symlink()
        if path.is_file():
            assert path.stat().st_nlink == 1, path
            with path.open("ab") as file:
                file.write(b"appended")
    assert damaged_objects(project) == []
    assert "not" in said(run(project, "dvc", "repro", "--no-run-cache"))
    ok(project, "dvc", "checkout", "--force", str(RESULTS / "models"))
    assert is_clean(project)


@slow
def test_a_job_that_runs_again_does_not_write_through_links(project: Path, edit: Edit) -> None:
    ok(project, "dvc", "config", "--local", "cache.type", "symlink")
    ok(project, "dvc", "checkout", "--relink")
    attacked = RESULTS / "attacks/11/raw/none/sft/manifest.json"
    assert os.path.islink(project / attacked)
    edit(project / "config/smoke.yaml", "examples: 10", "examples: 12")
    ok(
        project,
        *"snakemake --profile profiles/local --configfile config/smoke.yaml --".split(),
        str(attacked),
    )
    assert not os.path.islink(project / attacked)
    assert damaged_objects(project) == []


@slow
def test_a_deleted_model_beside_its_manifest_is_not_recorded(project: Path) -> None:
    model = project / RESULTS / "models/11/raw/none/base/model.safetensors"
    content, lock = model.read_bytes(), (project / "dvc.lock").read_bytes()
    model.unlink()
    result = run(project, "dvc", "repro", "--no-run-cache")
    assert result.returncode != 0
    assert (project / "dvc.lock").read_bytes() == lock
    (remedy,) = re.findall(r"model.safetensors is missing or .*; remake it: (.*)", said(result))
    ok(project, *shlex.split(remedy))
    assert model.read_bytes() == content
    model.unlink()
    ok(project, "dvc", "checkout", "--force", str(RESULTS / "models"))
    assert model.read_bytes() == content
