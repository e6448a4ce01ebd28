"""Benchmarks by name: every shipped entry can be read, and a config may change one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter

from rebar.config.benchmarks import PROMPT_SETS, TASKS, PromptSet, Task, library
from rebar.config.file import parse_config
from rebar.config.paths import find_files
from rebar.config.reference import schema_text
from rebar.data.prompts import read_prompts
from rebar.grid.check import check_grid
from rebar.grid.hub_access import check_access, hub_ids, pins
from tests.config.test_file import changed
from tests.loopback_hub import COMMITS, loopback_hub

ROOT = Path(__file__).parents[2]
ENTRIES = yaml.safe_load((ROOT / PROMPT_SETS).read_text())
PACKAGED = {name: entry["path"] for name, entry in ENTRIES.items() if "path" in entry}
SIZES = {"advbench": 520, "harmbench": 200, "donotanswer": 939, "realtoxicityprompts": 700}
NAMED = "advbench harmbench jailbreakbench strongreject tdc maliciousinstruct donotanswer "
NAMED += "realtoxicityprompts jb_completions xstest alpaca phtest"


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def prompt_set(value: Any) -> Any:
    return TypeAdapter(PromptSet).validate_python(value)


def test_the_named_sets_are_shipped_with_a_licence_note() -> None:
    assert {*NAMED.split()} <= {*ENTRIES}
    for name in ENTRIES:
        file = prompt_set(name)
        assert file.split == name and file.licence


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_set_can_be_read(name: str) -> None:
    try:
        find_files([PACKAGED[name]])
    except ValueError:
        pytest.skip("the package with this set is not installed (envs/real.txt)")
    prompts = read_prompts(prompt_set(name))
    assert len(prompts) == SIZES[name]
    assert len({p.prompt_id for p in prompts}) == len(prompts) and all(p.text for p in prompts)


COLUMNS = {"Harmfulness": "harmless", "label": "safe", "input": "", "answer": 1}


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in PACKAGED])
def test_a_set_of_the_hub_reads_its_columns(name: str, tmp_path: Path) -> None:
    """A local dataset with the columns of the entry stands in for the Hub's."""
    entry = ENTRIES[name]
    names = [
        entry.get("text", "prompt"),
        *entry.get("where", {}),
        *filter(None, [entry.get("answer")]),
    ]
    row = {column: COLUMNS.get(column, f"{column} 1") for column in names}
    row |= {"choices": ["a", "b", "c", "d"]} if "options" in entry else {}
    subset, split = entry["hub"].get("subset"), entry["hub"].get("split", "train")
    file = tmp_path / f"{split}.jsonl"
    file.write_text(json.dumps(row) + "\n")
    card = [
        {"config_name": subset or "default", "data_files": [{"split": split, "path": file.name}]}
    ]
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n")
    local = {"benchmark": name, "hub": {"dataset": str(tmp_path), "revision": None}}
    prompts = read_prompts(prompt_set(local))
    assert [p.text for p in prompts] == [row[entry.get("text", "prompt")]]
    assert prompts[0].reference == ({"answer": "b"} if "answer" in entry else {})


def test_a_config_changes_an_entry_and_keeps_the_rest() -> None:
    pin = "a" * 40
    changes = {"split": "harmful", "limit": 3, "judge": "rubric", "hub": {"revision": pin}}
    file = prompt_set({"benchmark": "strongreject", **changes})
    assert (file.split, file.limit, file.judge) == ("harmful", 3, "rubric")
    assert (file.hub.dataset, file.hub.revision) == ("walledai/StrongREJECT", pin)


def test_an_unknown_name_lists_the_known_ones() -> None:
    values = changed("evaluations.asr.prompts", ["advbenhc"])
    with pytest.raises(
        ValueError, match=r"f.yaml: evaluations.asr.prompts.0: benchmark 'advbenhc'"
    ):
        parse_config(values, "f.yaml")
    with pytest.raises(ValueError, match="known: advbench, harmbench"):
        parse_config(values, "f.yaml")


def test_a_user_adds_one_without_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PROMPT_SETS.parent.mkdir(parents=True)
    (tmp_path / "mine.csv").write_text("ask,scene\nwhat is it ?,a {dark} night\n")
    template = "{scene}. {prompt} {json}"
    entry = {"path": "mine.csv", "text": "ask", "template": "{scene}. {prompt} { }"}
    PROMPT_SETS.write_text(yaml.safe_dump({"mine": entry}))
    assert [p.text for p in read_prompts(prompt_set("mine"))] == [
        "a {dark} night. what is it ? { }"
    ]
    assert list(library(PROMPT_SETS)) == ["mine"]
    with pytest.raises(ValueError, match=r"no column 'json'.*set template:"):
        read_prompts(prompt_set({"benchmark": "mine", "template": template}))
    with pytest.raises(ValueError, match=r"lacks \{prompt\}"):
        prompt_set({"benchmark": "mine", "template": "{scene}"})


def test_ids_of_named_sets_are_asked_for_and_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"benchmark": "xstest", "hub": {"dataset": "org/gated", "revision": "main"}}
    config = parse_config(changed("evaluations.over_refusal.prompts", [named]), "f.yaml")
    key = "evaluations.over_refusal.prompts.0.hub.dataset"
    assert [(i.key, i.name, i.is_pinned) for i in hub_ids(config)] == [(key, "org/gated", False)]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with loopback_hub() as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(ValueError, match="gated"):
            check_access(config, "f.yaml")
        assert [(i.revision_key, commit) for i, commit in pins(config)] == [
            ("evaluations.over_refusal.prompts.0.hub.revision", COMMITS["datasets/org/gated"])
        ]


def test_the_schema_knows_names_changes_and_no_typo() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    written = {"path": "p.txt", "split": "mine"}
    for sets in (["advbench"], [{"benchmark": "advbench", "limit": 3}], [written]):
        values = changed("evaluations.asr.prompts", sets)
        assert not list(validator.iter_errors(values))
    values = changed("evaluations.asr.prompts", [{**written, "limits": 3}])
    assert list(validator.iter_errors(values))


def test_a_judge_of_a_set_must_be_defined() -> None:
    values = changed("evaluations.asr.prompts", [{"benchmark": "advbench", "judge": "rubric"}])
    config = parse_config(values, "f.yaml")
    with pytest.raises(ValueError, match=r"evaluations.asr.judge: 'rubric' is not defined"):
        check_grid(config, "f.yaml")


def test_the_nine_tasks_are_shipped_and_others_are_names_of_the_harness() -> None:
    entries = yaml.safe_load((ROOT / TASKS).read_text())
    assert len(entries) == 9
    for name in entries:
        assert TypeAdapter(Task).validate_python(name).task.startswith(name)
    assert TypeAdapter(Task).validate_python("hellaswag").num_fewshot is None
