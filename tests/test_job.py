"""What makes a job run again: its settings and its code, nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rebar.config import Config
from rebar.job import Job, make_job

ROOT = Path(__file__).parent.parent
RESULTS = Path("results/smoke")
ARM = {"seed": "0", "recipe": "raw", "safeguard": "none", "alignment": "sft"}


def spec(config: Config, stage: str, **wildcards: str) -> str:
    return json.dumps(make_job(config, RESULTS, stage, **wildcards).spec, sort_keys=True)


def test_a_job_survives_the_command_line(smoke: Config) -> None:
    job = make_job(smoke, RESULTS, "attack", **ARM)
    copy = Job.from_json(json.dumps(job.spec), RESULTS)
    assert copy == job
    assert copy.seed == 0
    assert str(copy.folder) == "results/smoke/attacks/0/raw/none/sft"
    assert copy.arm.recipe == "raw"


def test_random_numbers_depend_on_seed_and_labels_alone(smoke: Config) -> None:
    job = make_job(smoke, RESULTS, "align", **ARM)
    other = make_job(smoke, RESULTS, "align", **(ARM | {"seed": "1"}))
    assert job.rng("a").random() == job.rng("a").random()
    assert len({job.rng("a").random(), job.rng("b").random(), other.rng("a").random()}) == 3


def test_a_setting_changes_only_the_jobs_that_use_it(smoke: Config) -> None:
    raw = smoke.recipes["raw"]
    changed = smoke.model_copy(
        update={"recipes": smoke.recipes | {"raw": raw.model_copy(update={"parts": raw.parts * 2})}}
    )
    for stage, wildcards, same in (
        ("mix", {"seed": "0", "recipe": "raw"}, False),
        ("mix", {"seed": "0", "recipe": "safelm"}, True),
        ("collect", {"seed": "0", "shard": "0"}, True),
        ("attack", ARM, True),
    ):
        assert (spec(smoke, stage, **wildcards) == spec(changed, stage, **wildcards)) is same


def test_an_arm_sees_only_its_own_attacks(smoke: Config) -> None:
    base = make_job(smoke, RESULTS, "evaluate", **(ARM | {"alignment": "none"}))
    assert {cell[0] for cell in base.settings["measurements"]} == {"none"}
    attack = make_job(smoke, RESULTS, "attack", **ARM)
    assert list(attack.settings["attacks"]) == ["benign_finetune_matched", "harmful_finetune_10"]


@pytest.fixture
def copied_package(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "workflow/rebar", tmp_path / "rebar", ignore=lambda *_: ["__pycache__"])
    return tmp_path


def hashes(package: Path) -> dict[str, str]:
    """Code hashes of a copy of the package, in a fresh process."""
    code = (
        "import json; from rebar.code_hashes import code_hash\n"
        "names = ['stages.mix', 'stages.attack']\n"
        "names += ['attacks.harmful_finetune', 'attacks.benign_finetune']\n"
        "print(json.dumps({n: code_hash('rebar.' + n) for n in names}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": str(package)},
    )
    return json.loads(run.stdout)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_comments_and_docstrings_are_no_code(copied_package: Path) -> None:
    before = hashes(copied_package)
    file = copied_package / "rebar/attacks/harmful_finetune.py"
    edit(file, '"""Harmful fine-tuning', '# a comment\n"""Very harmful fine-tuning')
    edit(file, '    """Fine-tune on', '    """Tune on')
    assert hashes(copied_package) == before


def test_one_plug_in_edited_changes_its_hash_alone(copied_package: Path) -> None:
    before = hashes(copied_package)
    edit(copied_package / "rebar/attacks/harmful_finetune.py", "data.seed", "data.seed + 0")
    after = hashes(copied_package)
    assert {name for name in before if before[name] != after[name]} == {"attacks.harmful_finetune"}


def test_a_change_of_what_is_imported_counts(copied_package: Path) -> None:
    before = hashes(copied_package)
    edit(copied_package / "rebar/model/train.py", "import torch\n", "import torch\n\nx = 1\n")
    after = hashes(copied_package)
    assert after["stages.mix"] == before["stages.mix"]
    assert after["attacks.harmful_finetune"] != before["attacks.harmful_finetune"]
