from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from snakemake_executor_plugin_submitit import ExecutorSettings

PROJECT = Path(__file__).parent.parent


def test_snakemake_finds_the_plug_in_and_explains_each_option() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--help"],
        env=os.environ | {"PYTHONPATH": str(PROJECT / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    for option in fields(ExecutorSettings):
        assert f"--submitit-{option.name.replace('_', '-')}" in result.stdout


def test_the_readme_explains_only_options_that_exist() -> None:
    names = {f"--submitit-{option.name.replace('_', '-')}" for option in fields(ExecutorSettings)}
    text = (PROJECT / "README.md").read_text(encoding="utf-8").replace("--submitit-*", "")
    told = set(re.findall(r"--submitit-[a-z-]+", text))
    assert told and told <= names


def test_the_readme_shows_every_file() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    package = PROJECT / "src/snakemake_executor_plugin_submitit"
    for path in package.glob("*.py"):
        assert path.name == "__init__.py" or path.name in text
