"""The MLflow UI opens on the right store, or says why not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rebar.cli.main import main
from rebar.tracking import ui


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")  # put back after the test
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_missing_store_is_told_with_what_makes_it(project: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"no MLflow store mlflow\.db yet; make it: `snakemake .* all`"
    ):
        main(["ui"])
    assert list(project.iterdir()) == []


def test_a_taken_port_is_told(project: Path) -> None:
    (project / "mlflow.db").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            SystemExit, match=rf"port {port} is not free .*; choose another: --port"
        ):
            main(["ui", "--port", str(port)])


@pytest.mark.parametrize("named", [None, "sqlite:///other.db", "postgresql://me:secret@host/db"])
def test_the_ui_is_on_loopback_on_the_named_store(
    project: Path, named: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(ui.os, "execv", lambda program, words: started.append(words))
    for name in ("mlflow.db", "other.db"):
        (project / name).touch()
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    main(["ui", "--port", "5123"])
    (words,) = started
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert ui.os.environ["MLFLOW_BACKEND_STORE_URI"] == (named or "sqlite:///mlflow.db")
    said = capsys.readouterr().out
    assert "http://127.0.0.1:5123" in said
    assert "secret" not in said + " ".join(words)


def test_a_server_has_its_own_ui(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    main(["ui"])
    assert capsys.readouterr().out == "MLflow: http://host:5000 is a server; open its UI there\n"
