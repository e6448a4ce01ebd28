"""The gate's rule on skips."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT

pytest_plugins = ["pytester"]
TESTS = """
import pytest

def test_runs(): pass

@pytest.mark.xfail
def test_fails_as_expected(): assert False

@pytest.mark.{mark}
def test_may_skip(): pass
"""


def run(pytester: pytest.Pytester, mark: str, names: str) -> pytest.RunResult:
    """A run with the plug-in and this list, in a process of its own."""
    (pytester.path / "tests").mkdir()
    for name in ("__init__.py", "skips.py"):
        (pytester.path / "tests" / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (pytester.path / "tests/skips_allowed.txt").write_text(names)
    pytester.makepyfile(test_it=TESTS.format(mark=mark))
    return pytester.runpytest_subprocess("-p", "tests.skips")


@pytest.mark.parametrize(
    ("mark", "names", "status"),
    [
        ("slow", "", 0),
        ("skip", "", 1),
        ("skip", "# a remark\ntest_it.py::test_may_skip  # no such machine\n", 0),
        ("skip", "test_other.py\n", 1),
    ],
)
def test_a_skip_fails_unless_it_is_named(
    pytester: pytest.Pytester, mark: str, names: str, status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    result = run(pytester, mark, names)
    assert result.ret == status
    told = "must not skip here (skips_allowed.txt lacks it): test_it.py::test_may_skip"
    assert (told in result.stdout.str()) == (status == 1)


def test_the_list_names_tests_that_exist() -> None:
    from tests.skips import allowed

    for name in allowed():
        file, _, test = name.partition("::")
        assert f"def {test.partition('[')[0]}(" in Path(ROOT / file).read_text()
