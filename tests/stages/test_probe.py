"""The stage `probe`: each probe an item of its own, made again only for its own reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rebar.config.file import Config, parse_config
from rebar.jobs.job import Job, make_job
from rebar.jobs.manifest import load_manifest, output_folder, write_manifest
from rebar.model.release import release
from rebar.stages import probe
from tests.config.test_file import SMOKE
from tests.probes.stand_ins import tiny

ARM = {"seed": 0, "recipe": "raw", "safeguard": "none", "alignment": "sft"}
TEXTS = {"examples": 2, "sequence_length": 48}
PROBES = {
    "land": {"method": "landscape", "steps": 1, "planes": [], "texts": TEXTS},
    "way": {
        "method": "mode_connectivity",
        "attacks": ["harmful_finetune_10"],
        "steps": 2,
        "texts": TEXTS,
    },
    "basin": {"method": "safety_basin", "judge": "world", "questions": 2, "max_new_tokens": 2}
    | {"directions": 1, "steps": 1},
}


def config(**probes: Any) -> Config:
    values = {**SMOKE, "probes": PROBES | probes}
    blocks = [{k: v for k, v in block.items() if k != "probes"} for block in SMOKE["grid"]]
    blocks[1] = blocks[1] | {"probes": list(values["probes"])}
    return parse_config(values | {"grid": blocks}, "f.yaml")


def save(job: Job, folder: Path, seed: int) -> None:
    """A model with random weights where another stage would leave one."""
    model, tokenizer = tiny(job.root / "unused", seed)
    with output_folder(folder) as target:
        release(model, tokenizer, target, "test")
        write_manifest(target, spec={})


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = make_job(config(), tmp_path / "results", "probe", **ARM)
    save(job, job.path("align"), 0)
    save(job, job.path("attack") / "harmful_finetune_10", 1)
    return job


def manifests(job: Job) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in job.folder.glob("*/manifest.json")}


def test_every_probe_leaves_its_rows(job: Job) -> None:
    probe.run(job)
    assert set(manifests(job)) == set(PROBES)
    lines = (job.folder / "way/rows.csv").read_text().splitlines()
    assert lines[0] == "metric,value,loss,direction,alpha,beta,dimension"
    assert len(lines) == 1 + 3 * (3 + 1)
    assert load_manifest(job.folder / "way")["counts"] == {"rows": 12}
    assert set(load_manifest(job.folder / "way")["inputs"]) == {"released", "harmful_finetune_10"}
    assert set(load_manifest(job.folder / "land")["inputs"]) == {"released"}
    first = manifests(job)
    for path in job.folder.glob("*/manifest.json"):
        path.unlink()
    probe.run(job)
    assert manifests(job) == first


def test_only_what_changed_is_made_again(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    probe.run(job)
    capsys.readouterr()
    save(job, job.path("attack") / "harmful_finetune_10", 2)
    probe.run(job)
    said = capsys.readouterr().out
    assert "basin (1/3): up to date" in said and "land (2/3): up to date" in said
    assert "way (3/3): measuring" in said
    more = config(land=PROBES["land"] | {"steps": 2})
    probe.run(make_job(more, job.root, "probe", **ARM))
    said = capsys.readouterr().out
    assert "land (2/3): measuring" in said and "way (3/3): up to date" in said


def test_a_probe_is_run_again_for_its_own_settings_and_judge_alone(job: Job) -> None:
    spec = {name: job.item_spec(name) for name in PROBES}
    assert set(spec["basin"]["code"]) == {"stage", "probes.basin", "judges.world"}
    assert set(spec["land"]["code"]) == {"stage", "probes.land"}
    other = make_job(config(land=PROBES["land"] | {"steps": 2}), job.root, "probe", **ARM)
    same = {name: other.item_spec(name) == spec[name] for name in PROBES}
    assert same == {"land": False, "way": True, "basin": True}


def test_a_damaged_attacked_model_is_told_with_its_remedy(job: Job) -> None:
    (job.path("attack") / "harmful_finetune_10/model.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"model\.safetensors is missing or not .* remake it"):
        probe.run(job)
