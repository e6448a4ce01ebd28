"""Stand-ins for what Snakemake hands to the executor."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))


@dataclass
class FakeJob:
    """The parts of a Snakemake job that the executor reads."""

    rule_name: str = "train"
    wildcards_dict: dict[str, str] = field(default_factory=dict)
    resources: dict[str, object] = field(default_factory=dict)
    threads: int = 1
    params: dict[str, object] = field(default_factory=dict)
    shellcmd: str = "true"
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ("out",)
    restart_times: int = 0
    attempt: int = 1

    @property
    def rule(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.rule_name)

    def is_group(self) -> bool:
        return False

    def get_target_spec(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(rulename=self.rule_name, wildcards_dict=self.wildcards_dict)]


@dataclass
class FakeGroup:
    """Several jobs as one."""

    jobs: list[FakeJob]
    threads: int = 1
    resources: dict[str, object] = field(default_factory=dict)

    def is_group(self) -> bool:
        return True

    def get_target_spec(self) -> list[SimpleNamespace]:
        return [spec for job in self.jobs for spec in job.get_target_spec()]


@pytest.fixture
def make_job() -> type[FakeJob]:
    return FakeJob


@pytest.fixture
def make_group() -> type[FakeGroup]:
    return FakeGroup
