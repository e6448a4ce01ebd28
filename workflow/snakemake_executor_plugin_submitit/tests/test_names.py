from __future__ import annotations

from snakemake_executor_plugin_submitit import names


def test_names_of_a_job(make_job) -> None:
    job = make_job("train", {"seed": "1", "recipe": "a/b c"})
    assert names.rule_name(job) == "train"
    assert names.wildcards(job) == "recipe=a_b_c,seed=1"
    assert names.job_name(job) == "train.recipe=a_b_c,seed=1"
    assert names.job_name(make_job("all")) == "all"
    assert len(names.job_name(make_job("x" * 300))) == 128


def test_names_of_a_group(make_job, make_group) -> None:
    group = make_group([make_job("train", {"x": "2"}), make_job("probe", {"x": "1"})])
    assert names.targets(group) == ['["probe", {"x": "1"}]', '["train", {"x": "2"}]']
    assert names.job_name(group) == "probe+train.x=1,and-1-more"


def test_a_digest_follows_what_the_job_does(make_job, make_group) -> None:
    job = make_job("train", {"x": "1"}, params={"lr": 1})
    (target,) = names.targets(job)
    digest = names.digests(job)[target]
    assert names.digests(make_group([job]))[target] == digest
    same = make_job("train", {"x": "1"}, params={"lr": 1}, resources={"mem_mb": 9}, attempt=2)
    assert names.digests(same)[target] == digest
    for other in (
        make_job("train", {"x": "1"}, params={"lr": 2}),
        make_job("train", {"x": "1"}, params={"lr": 1}, shellcmd="false"),
        make_job("train", {"x": "1"}, params={"lr": 1}, input=("new",)),
    ):
        assert names.digests(other)[target] != digest
