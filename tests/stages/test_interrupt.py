"""The checkpoint signal at any step, then the same command: the same bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rebar.cli.main import main
from rebar.config.file import Config
from rebar.jobs.recorder import Recorder
from rebar.training.checkpoints import checkpoint_files
from tests.stages import training_jobs as jobs

MATCHED, HARMFUL = "benign_finetune_matched", "harmful_finetune_10"


@pytest.fixture(scope="module")
def settings() -> Config:
    return jobs.config()


def run(settings: Config, root: Path, *stages: str) -> None:
    for stage in stages:
        main(jobs.arguments(settings, root, stage))


@pytest.fixture(scope="module")
def quiet(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quiet")
    jobs.pack(root, settings)
    run(settings, root, "pretrain", "align", "attack")
    return root


def told_at(monkeypatch: pytest.MonkeyPatch, label: str, step: int) -> None:
    """Send the signal when a run has made so many steps."""
    progress = Recorder.progress

    def telling(self: Recorder, done: int, total: int, unit: str) -> None:
        progress(self, done, total, unit)
        if done == step and label in self.label:
            os.kill(os.getpid(), signal.SIGUSR2)

    monkeypatch.setattr(Recorder, "progress", telling)


@pytest.mark.parametrize(
    ("stage", "label", "step"),
    [
        ("pretrain", "pretrain", 1),
        ("pretrain", "pretrain", 17),
        ("align", "align", 10),
        ("attack", MATCHED, 3),
        ("attack", MATCHED, 4),  # asked for its accuracy at this step
        ("attack", HARMFUL, 5),
    ],
)
def test_told_to_stop_saves_leaves_and_goes_on(
    settings: Config, quiet: Path, tmp_path: Path, stage: str, label: str, step: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    jobs.pack(tmp_path, settings)
    before = {"pretrain": [], "align": ["pretrain"], "attack": ["pretrain", "align"]}[stage]
    run(settings, tmp_path, *before)
    with pytest.MonkeyPatch.context() as patch:
        told_at(patch, label, step)
        with pytest.raises(SystemExit) as stop:
            run(settings, tmp_path, stage)
    assert stop.value.code == 75
    assert not (jobs.job(settings, tmp_path, stage).folder / "manifest.json").exists()
    folder = jobs.job(settings, tmp_path, stage).checkpoints
    folder = folder / label if stage == "attack" else folder
    assert [file.name for file in checkpoint_files(folder)] == [f"step-{step:09d}.safetensors"]
    said: list[str] = []
    monkeypatch.setattr(Recorder, "say", lambda self, sentence: said.append(sentence))
    run(settings, tmp_path, stage)
    assert said == [f"resumed at step {step}"]
    tops = ["models", "attacks"] if stage == "attack" else ["models"]
    expected = jobs.content(quiet, *tops)
    assert jobs.content(tmp_path, *tops) == {
        path: expected[path] for path in jobs.content(tmp_path, *tops)
    }
    assert any(path.endswith("metrics.jsonl") for path in expected)


def test_told_at_the_last_step_ends_in_peace(
    settings: Config, quiet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.pack(tmp_path, settings)
    told_at(monkeypatch, "pretrain", jobs.STEPS["pretrain"])
    run(settings, tmp_path, "pretrain")
    base = "models/0/raw/none/base"
    assert jobs.content(tmp_path, base) == jobs.content(quiet, base)


def test_told_before_training_stops_after_its_first_step(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rebar.stages import pretrain

    jobs.pack(tmp_path, settings)
    build = pretrain.build_model

    def slowly(*arguments):
        os.kill(os.getpid(), signal.SIGUSR2)
        return build(*arguments)

    monkeypatch.setattr(pretrain, "build_model", slowly)
    with pytest.raises(SystemExit) as stop:
        run(settings, tmp_path, "pretrain")
    assert stop.value.code == 75
    assert len(checkpoint_files(jobs.job(settings, tmp_path, "pretrain").checkpoints)) == 1


def test_a_finished_attack_is_not_made_again(
    settings: Config, quiet: Path, capsys: pytest.CaptureFixture
) -> None:
    run(settings, quiet, "attack")
    assert f"{MATCHED} (1/2): up to date" in capsys.readouterr().out
