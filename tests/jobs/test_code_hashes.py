"""A job's code: what counts, and what does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def copied_package(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "workflow/rebar", tmp_path / "rebar", ignore=lambda *_: ["__pycache__"])
    return tmp_path


def hashes(package: Path) -> dict[str, str]:
    """Code hashes of a copy of the package, in a fresh process."""
    code = (
        "import json; from rebar.jobs.code_hashes import code_hash\n"
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
    edit(
        copied_package / "rebar/attacks/harmful_finetune.py",
        "(config.examples,",
        "(config.examples + 0,",
    )
    after = hashes(copied_package)
    assert {name for name in before if before[name] != after[name]} == {"attacks.harmful_finetune"}


def test_a_change_of_what_is_imported_counts(copied_package: Path) -> None:
    before = hashes(copied_package)
    edit(copied_package / "rebar/training/train.py", "import torch\n", "import torch\n\nx = 1\n")
    after = hashes(copied_package)
    assert after["stages.mix"] == before["stages.mix"]
    assert after["attacks.harmful_finetune"] != before["attacks.harmful_finetune"]


def test_values_of_settings_stand_in_the_spec_and_not_here(copied_package: Path) -> None:
    before = hashes(copied_package)
    file = copied_package / "rebar/config/model.py"
    edit(file, "class FineTuning(Settings):\n", "class FineTuning(Settings):\n    more: int = 0\n")
    assert hashes(copied_package) == before
