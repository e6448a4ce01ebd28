"""Profiles and DVC point at what exists."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent


def test_the_local_profile_survives_kills_and_touches() -> None:
    profile = yaml.safe_load((ROOT / "profiles/local/config.yaml").read_text())
    assert profile["rerun-incomplete"] is True
    assert profile["max-checksum-file-size"] >= 10**9
    assert not (ROOT / "profiles/default").exists(), "it would silently beat --profile"


def test_every_line_of_the_profile_has_its_reason() -> None:
    lines = (ROOT / "profiles/local/config.yaml").read_text().splitlines()
    assert all("#" in line for line in lines if line.strip())


def test_dvc_stages_version_what_the_rules_make() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    outs = [next(iter(out)) for stage in stages.values() for out in stage["outs"]]
    assert all(out.startswith("results/demo/") for out in outs)
    for stage in stages.values():
        script, target = stage["cmd"].split()
        assert (ROOT / script).exists()
        assert f"rule {target}:" in rules + (ROOT / "Snakefile").read_text()
        for dep in stage["deps"]:
            assert dep in outs or (ROOT / dep).exists(), dep
        for keys in (p for group in stage["params"] for p in group.values()):
            config = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
            assert set(keys) <= set(config)
