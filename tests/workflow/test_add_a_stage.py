"""A stage is its entry in the table, its module and its rule; all else follows from the entry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.conftest import copy_project, environment, planned, said, snakemake

Edit = Callable[[Path, str, str], None]

ENTRY = """
    Stage(
        "measure_lengths",
        target="corpus",
        folder="corpus/{seed}/lengths",
        reads=lambda config, names: [
            Node("collect", {**names, "shard": i}) for i in range(config.collect.shards)
        ],
        settings=lambda config, names: {"shards": config.collect.shards, "model": None},
        wanted_for=lambda config, arm: True,
        workload=lambda config, names: Workload(cpu_seconds=1190, files=1),
        hub_keys=("probes",),
    ),
    Stage(
        "pretrain","""

MODULE = """
from rebar.data.documents import DOCUMENTS, read_documents
from rebar.jobs.manifest import MANIFEST, output_folder, write_manifest


def run(job):
    folders = [job.path("collect", shard=i) for i in range(job.settings["shards"])]
    words = [len(d.text.split()) for f in folders for b in read_documents(f / DOCUMENTS) for d in b]
    inputs = {folder.name: folder / MANIFEST for folder in folders}
    with output_folder(job.folder) as folder:
        write_manifest(folder, spec=job.spec, inputs=inputs, counts={"words": sum(words)})
"""

RULE = """

rule measure_lengths:
    input:
        if_needed("measure_lengths", "<results>/corpus/{seed}/collected/{shard}/manifest.json"),
    output:
        "<results>/corpus/{seed}/lengths/manifest.json",
    log:
        "<results>/logs/measure_lengths/corpus/{seed}/lengths.log",
    threads: threads_of("measure_lengths")
    resources:
        **resources_of("measure_lengths"),
    params:
        job=job_of("measure_lengths"),
    shell:
        f"python -m rebar measure_lengths --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
"""

FACTS = """
import json
from pathlib import Path
from rebar import grid
from rebar.config.file import load_config
from rebar.cost.resources import resources
from rebar.driver import provenance
from rebar.grid import dag, hub_access
from rebar.jobs.job import make_job

config, root = load_config("config/smoke.yaml"), Path("results/smoke")
job = make_job(config, root, "measure_lengths", seed="11")
print(json.dumps({
    "label": job.label,
    "folder": str(job.folder),
    "lock": str(grid.lock_file(job.stage, job.wildcards)),
    "settings": job.settings,
    "code": job.code,
    "reads": [str(place) for place in dag.reads(config, job.stage, **job.wildcards)],
    "node": dag.node(Path("corpus/11/lengths")),
    "maker": grid.maker(Path("corpus/11/lengths")),
    "resources": resources(config, job.stage, job.wildcards),
    "is_a_job": Path("corpus/11/lengths") in dag.all_jobs(config),
    "outputs": provenance._outputs(config, root, "corpus"),
    "readers": sorted(hub_access._readers("probes.sharpness.model")),
}))
"""


@pytest.fixture
def project(tmp_path: Path, edit: Edit) -> Path:
    """The project with one more stage."""
    project = copy_project(tmp_path)
    edit(project / "workflow/rebar/grid/stages.py", '\n    Stage(\n        "pretrain",', ENTRY)
    (project / "workflow/rebar/stages/measure_lengths.py").write_text(MODULE)
    with (project / "workflow/rules/corpus.smk").open("a") as file:
        file.write(RULE)
    return project


def printed(project: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, said(result)
    return result.stdout


def test_an_entry_says_all_that_is_known_of_a_stage(project: Path) -> None:
    facts = json.loads(printed(project, "-c", FACTS))
    assert facts.pop("code").keys() == {"stage"}
    assert "results/smoke/corpus/11/lengths/manifest.json" in facts.pop("outputs")
    assert facts == {
        "label": "measure_lengths 11",
        "folder": "results/smoke/corpus/11/lengths",
        "lock": "locks/measure_lengths-11.lock",
        "settings": {"model": None, "shards": 1},
        "reads": ["corpus/11/collected/0"],
        "node": ["measure_lengths", {"seed": 11}],
        "maker": ["measure_lengths", False],
        "resources": [60, 1200, 1, 0, 1],  # three times 1190 s and the start
        "is_a_job": True,
        "readers": ["measure_lengths", "probe"],
    }
    for command in ("plan", "status"):
        table = printed(project, "-m", "rebar", command, "--configfile", "config/smoke.yaml")
        rows = [line for line in table.splitlines() if line.startswith("measure_lengths ")]
        assert len(rows) == 1


def test_its_job_runs_and_runs_again_when_its_code_changes(project: Path, edit: Edit) -> None:
    assert planned(project, "--", "corpus")["measure_lengths"] == 1
    made = "results/smoke/corpus/11/lengths/manifest.json"
    result = snakemake(project, "--", made)
    assert result.returncode == 0, said(result)
    manifest = json.loads((project / made).read_text())
    assert manifest["spec"]["stage"] == "measure_lengths"
    assert manifest["counts"]["words"] > 1000
    assert json.loads((project / made).with_name("costs.json").read_text())["seconds"] > 0
    assert planned(project, "--", made) == {}
    edit(project / "workflow/rebar/stages/measure_lengths.py", "sum(words)", "max(words)")
    assert planned(project, "--", made) == {"measure_lengths": 1}
