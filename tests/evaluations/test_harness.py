"""lm-evaluation-harness on a model in memory, with tasks of files: nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from rebar.evaluations import harness
from rebar.reporting.measures import cells
from tests.evaluations.askers import run, tiny_asker

OPTIONS = ["w1", "w2 w3", "w4 w5 w6"]
COMMON = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
doc_to_text: "{{{{question}}}}"
"""
CHOICE = """
task: my_choice
output_type: multiple_choice
doc_to_choice: "{{options}}"
doc_to_target: right
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
WRITTEN = """
task: my_written
output_type: generate_until
doc_to_target: answer
generation_kwargs: {until: ["w0"], max_gen_toks: 4}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "questions.jsonl"
    rows = [
        {"question": f"w{i} w{i + 1}", "options": OPTIONS, "right": i % 3, "answer": "w1"}
        for i in range(6)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in (("choice", CHOICE), ("written", WRITTEN)):
        (tmp_path / f"{name}.yaml").write_text(text + COMMON.format(file=file))
    return str(tmp_path)


def test_options_are_scored_as_by_hand(tmp_path: Path, tasks: str) -> None:
    from rebar.evaluations._options import option_scores

    asker = tiny_asker(tmp_path)
    wanted = [{"task": "my_choice", "num_fewshot": 0, "metric": "acc"}]
    rows = run(harness, asker, tasks=wanted, include_path=tasks)
    scores = option_scores(asker, [f"w{i} w{i + 1}" for i in range(6)], [OPTIONS] * 6)
    for i, row in enumerate(rows):
        nats = [score.log_probability for score in scores[i]]
        assert row["answer"] == OPTIONS[nats.index(max(nats))]
        assert row["correct"] is (row["answer"] == OPTIONS[i % 3])
    assert rows[4] == {
        "prompt_id": "my_choice-00004",
        "hazard_id": "my_choice-00004",
        "split": "my_choice",
        "prompt_style": "unseen_my_choice",
        "prompt": "w4 w5",
        "answer": rows[4]["answer"],
        "outcome": "complied" if rows[4]["correct"] else "other",
        "correct": rows[4]["correct"],
        "judge": "lm_eval",
    }


def test_accuracy_is_recomputed_from_the_rows(tmp_path: Path, tasks: str) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    asker = tiny_asker(tmp_path)
    wanted = [{"task": "my_choice", "metric": "acc_norm"}, "my_written"]
    rows = run(harness, asker, tasks=wanted, include_path=tasks)
    model = HFLM(pretrained=asker.model, tokenizer=asker.tokenizer)
    manager = TaskManager(include_path=tasks, include_defaults=False)
    own = simple_evaluate(model, tasks=["my_choice", "my_written"], task_manager=manager)
    assert own is not None
    setting = harness.Config(method="harness", tasks=wanted)
    found = {s: c.value for s, _, c in cells.count(pd.DataFrame(rows), setting) if "/" not in s}
    assert found == pytest.approx(
        {
            "my_choice": own["results"]["my_choice"]["acc_norm,none"],
            "my_written": own["results"]["my_written"]["exact_match,none"],
        }
    )


def test_solved_examples_and_a_limit(tmp_path: Path, tasks: str) -> None:
    wanted = [{"task": "my_choice", "num_fewshot": 2}]
    rows = run(harness, tiny_asker(tmp_path), tasks=wanted, include_path=tasks, limit=3)
    assert len(rows) == 3 and all(row["prompt"].count("\n\n") == 2 for row in rows)
    again = run(harness, tiny_asker(tmp_path), tasks=wanted, include_path=tasks, limit=3)
    assert rows == again


def test_a_group_of_tasks_is_one_split(tmp_path: Path, tasks: str) -> None:
    (tmp_path / "group.yaml").write_text("group: my_group\ntask: [my_choice, my_written]\n")
    rows = run(harness, tiny_asker(tmp_path), tasks=["my_group"], include_path=tasks, limit=2)
    assert {row["split"] for row in rows} == {"my_group"}
    parts = [row["prompt_id"] for row in rows]
    assert parts == ["my_choice-00000", "my_choice-00001", "my_written-00000", "my_written-00001"]


def test_an_unknown_task_and_a_metric_that_is_none_are_named(tmp_path: Path, tasks: str) -> None:
    with pytest.raises(ValueError, match="no task 'hellaswagg'"):
        run(harness, tiny_asker(tmp_path), tasks=["hellaswagg"])
    wanted = [{"task": "my_choice", "metric": "f1"}]
    with pytest.raises(ValueError, match=r"metric 'f1' of task 'my_choice'.*acc, acc_norm"):
        run(harness, tiny_asker(tmp_path), tasks=wanted, include_path=tasks)


def test_the_papers_tasks_are_the_harness_s() -> None:
    from lm_eval.tasks import TaskManager

    from rebar.config.benchmarks import TASKS, library

    known = TaskManager().all_tasks
    assert not [e["task"] for e in library(TASKS).values() if e["task"] not in known]
