from __future__ import annotations

from pathlib import Path

import pandas as pd

from rebar.jobs.job import Job
from rebar.stages import summarize
from tests.reporting.fake_results import allow_any_plugin, make_config, write_results


def job(root: Path, stage: str = "summarize", **changes) -> Job:
    config = make_config(**changes)
    return Job(stage, root, {}, config.model_dump(mode="json"))


def test_every_value_comes_from_the_generations(tmp_path: Path, monkeypatch) -> None:
    allow_any_plugin(monkeypatch)
    write_results(tmp_path, make_config(), success=lambda *_: 0.75)
    summarize.run(job(tmp_path))
    summary = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False)
    paths = tmp_path.glob("evaluations/**/generations.parquet")
    answers = pd.concat(map(pd.read_parquet, paths), ignore_index=True)
    keys = ["recipe", "alignment", "attack", "decoder", "seed", "split"]
    complied = answers[answers.evaluation == "asr"].outcome == "complied"
    expected = complied.groupby([answers[key] for key in keys]).mean()
    ours = summary[(summary.evaluation == "asr") & (summary.metric == "attack_success")]
    ours = ours[~ours.split.str.contains("/")].set_index(keys).value
    pd.testing.assert_series_equal(ours.sort_index(), expected.sort_index(), check_names=False)
    assert set(expected) == {0.75}
    outcomes = summary[summary.evaluation == "asr"]
    totals = outcomes.groupby([*keys, "evaluation"]).value.sum()
    assert totals.between(1 - 1e-5, 1 + 1e-5).all()  # complied, refused and other are all there is


def test_again_is_the_same_file_and_nothing_else_is_read(tmp_path: Path, monkeypatch) -> None:
    allow_any_plugin(monkeypatch)
    write_results(tmp_path, make_config(seeds=[11]))
    summarize.run(job(tmp_path, seeds=[11]))
    first = (tmp_path / "summary.csv").read_bytes()
    write_results(tmp_path / "other", make_config(seeds=[12]))
    (tmp_path / "other/evaluations/models/12").rename(tmp_path / "evaluations/models/12")
    summarize.run(job(tmp_path, seeds=[11]))
    assert (tmp_path / "summary.csv").read_bytes() == first
    assert (tmp_path / "costs.csv").read_text().startswith("stage,seed,")
    assert not list(tmp_path.glob(".*unfinished"))


def test_damaged_answers_change_the_numbers(tmp_path: Path, monkeypatch) -> None:
    allow_any_plugin(monkeypatch)
    write_results(tmp_path, make_config(seeds=[11]))
    summarize.run(job(tmp_path, seeds=[11]))
    first = (tmp_path / "summary.csv").read_text().splitlines()
    path = tmp_path / "evaluations/attacks/11/raw/none/sft/benign_finetune/generations.parquet"
    pd.read_parquet(path).assign(outcome="other", correct=False).to_parquet(path)
    summarize.run(job(tmp_path, seeds=[11]))
    second = (tmp_path / "summary.csv").read_text().splitlines()
    changed = [new for old, new in zip(first, second, strict=True) if old != new]
    of_model = [x for x in second if x.startswith("raw,none,sft,benign_finetune,")]
    assert changed == of_model != []
    assert all(x.endswith(",true") for x in of_model)  # it answers nothing any more
