"""What a public project has: licence, citation, reports of vulnerabilities, a catalogue entry."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_licence_is_the_whole_of_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    assert text.endswith("limitations under the License.\n")
    assert project()["license"] == "Apache-2.0"
    assert project()["license-files"] == ["LICENSE"]


def test_the_citation_can_be_read() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    required = {"cff-version", "message", "title", "authors"}
    assert required <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The Rebar authors"}]
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]


def test_the_catalogue_entry_has_the_keys_that_the_catalogue_reads() -> None:
    entry = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    usage = entry["usage"]
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert usage["software-stack-deployment"]["conda"] is True
    assert (ROOT / "envs/rebar.yaml").exists()  # what it deploys
    assert usage["report"] is True
    assert list((ROOT / "workflow/report").glob("*.rst"))
    profile = usage["mandatory-flags"]["flags"].removeprefix("--profile ")
    assert (ROOT / profile / "config.yaml").exists()


def test_security_says_how_to_report_and_what_stays_on_the_machine() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for words in ("How to report", "never leaves the machine", "telemetry", "loopback"):
        assert words in text, words
