"""For the gate: `pytest -p tests.skips` fails where a test skips that `skips_allowed.txt` lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

ALLOWED = Path(__file__).parent / "skips_allowed.txt"
_skipped: list[str] = []


def allowed() -> list[str]:
    """Node ids, or their beginnings; what follows a # is the reason."""
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that skipped; an expected failure is none."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a whole file that skipped."""
    if report.skipped:
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run, whatever else it did."""
    if _unexpected():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was not to skip."""
    for name in _unexpected():
        line = f"must not skip here ({ALLOWED.name} lacks it): {name}"
        terminalreporter.write_line(line, red=True)


def _unexpected() -> list[str]:
    names = tuple(allowed())
    return [skipped for skipped in _skipped if not (names and skipped.startswith(names))]
