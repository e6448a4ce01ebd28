"""Profiles point at what exists."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from snakemake_executor_plugin_submitit.settings import ExecutorSettings

ROOT = Path(__file__).parent.parent.parent


def test_the_local_profile_survives_kills_and_touches() -> None:
    profile = yaml.safe_load((ROOT / "profiles/local/config.yaml").read_text())
    assert profile["rerun-incomplete"] is True
    assert profile["max-checksum-file-size"] >= 10**9
    assert not (ROOT / "profiles/default").exists(), "it would silently beat --profile"


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_every_line_of_a_profile_has_its_reason(name: str) -> None:
    lines = (ROOT / f"profiles/{name}/config.yaml").read_text().splitlines()
    assert all("#" in line for line in lines if line.strip())


def test_the_slurm_profile_names_no_site() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile["configfile"] == "config/paper.yaml"
    assert profile["executor"] == "submitit"
    site = ("partition", "account", "qos", "gpu-partition", "gpu-type", "setup", "extra")
    assert not {f"submitit-{name}" for name in site} & set(profile)
    assert not {"default-resources", "set-resources"} & set(profile)


def test_the_slurm_profile_lists_each_thing_that_a_site_may_set() -> None:
    """Commented out or set; and every option of the plug-in but `cluster` is one of them."""
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    options = {f"submitit-{field.name.replace('_', '-')}" for field in fields(ExecutorSettings)}
    listed = set(re.findall(r"^(?:# )?(submitit-[a-z-]+):", text, re.MULTILINE))
    assert options - {"submitit-cluster", "submitit-gone-seconds"} == listed


def test_the_commented_lines_are_yaml_too() -> None:
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    lines += re.findall(r"^# ([a-z-]+: .*)$", text, re.MULTILINE)
    assert len(yaml.safe_load("\n".join(lines))) == len(lines)


def test_the_profile_is_found_by_its_name_in_the_root() -> None:
    assert (ROOT / "slurm").is_symlink()
    assert (ROOT / "slurm").resolve() == ROOT / "profiles/slurm"


def test_a_driver_of_the_slurm_profile_ends_soon_after_its_last_job() -> None:
    """Snakemake keeps its process for the span that submissions are counted over."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    span = re.fullmatch(r"\d+/(\d+)s", profile["max-jobs-per-timespan"])
    assert span and int(span[1]) <= 10
