"""The content of files that a config names is part of what makes a job run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebar.config.file import parse_config
from rebar.grid import Measurement
from rebar.jobs import files
from rebar.jobs.files import contents, named_files
from rebar.jobs.job import Job, make_job
from rebar.stages import evaluate
from tests.config.test_file import changed

ARM = {"seed": "0", "recipe": "raw", "safeguard": "none", "alignment": "sft"}


@pytest.fixture(autouse=True)
def _fresh_process():
    """Content is read once a process; here several processes share one."""
    files._content.cache_clear()
    yield
    files._content.cache_clear()


def test_names_are_found_at_any_depth() -> None:
    settings = {"a": [{"path": "x.jsonl"}, {"paths": ["y", "z"]}], "model": None, "encoder": "e"}
    assert list(named_files(settings)) == ["x.jsonl", "y", "z", "e"]


def test_content_is_of_files_and_folders_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/w").write_text("123")
    settings = {"path": f"{tmp_path}/a", "model": f"{tmp_path}/model", "encoder": "org/hub-id"}
    first = contents(settings)
    # SHA-256 of nothing
    assert first[f"{tmp_path}/a"].startswith("e3b0c44298fc1c14")
    assert set(first) == {f"{tmp_path}/a", f"{tmp_path}/model"}
    (tmp_path / "model/w").write_text("1234")
    files._content.cache_clear()
    second = contents(settings)
    assert first[f"{tmp_path}/a"] == second[f"{tmp_path}/a"]
    assert first[f"{tmp_path}/model"] != second[f"{tmp_path}/model"]


def jobs(prompts: Path) -> dict[str, Job]:
    """Jobs of the smoke grid in which knowledge asks the prompts of a file."""
    entry = {"path": str(prompts), "split": "own"}
    values = changed("evaluations.knowledge.prompts", [entry])
    config = parse_config(values, "f.yaml")
    return {s: make_job(config, Path("r"), s, **ARM) for s in ("evaluate", "attack", "align")}


def test_an_edited_prompt_file_asks_again_and_trains_nothing(tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt": "a"}\n')
    before = jobs(prompts)
    prompts.write_text('{"prompt": "b"}\n')
    files._content.cache_clear()
    after = jobs(prompts)
    same = {stage: before[stage].spec == after[stage].spec for stage in before}
    assert same == {"evaluate": False, "attack": True, "align": True}


def test_an_item_hangs_on_its_own_cells_alone(tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt": "a"}\n')
    job = jobs(prompts)["evaluate"]
    asr = [Measurement("none", "greedy", "asr")]
    knowledge = [Measurement("none", "greedy", "knowledge")]
    spec = evaluate.item_spec(job, "none", asr)
    assert set(spec["settings"]["evaluations"]) == {"asr"}
    assert set(spec["code"]) == {"stage", "evaluations.asr", "judges.world"}
    assert spec["files"] == {}
    assert list(evaluate.item_spec(job, "none", knowledge)["files"]) == [str(prompts)]


def test_an_attack_hangs_on_its_own_setting_alone(smoke) -> None:
    job = make_job(smoke, Path("r"), "attack", **ARM)
    spec = job.item_spec("harmful_finetune_10")
    assert set(spec["code"]) == {"stage", "attacks.harmful_finetune_10"}
    assert spec["settings"]["attack"] == job.settings["attacks"]["harmful_finetune_10"]
    assert spec["wildcards"]["attack"] == "harmful_finetune_10"


def test_a_glob_has_the_content_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1")
    first = contents({"paths": [f"{tmp_path}/*.txt"]})
    files._content.cache_clear()
    (tmp_path / "a.txt").write_text("2")
    second = contents({"paths": [f"{tmp_path}/*.txt"]})
    assert set(first) == set(second) == {f"{tmp_path}/*.txt"}
    assert first != second
