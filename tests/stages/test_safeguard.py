"""A safeguard in each of its places: what it changes, what it leaves to the bit."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from rebar.cli.main import main
from rebar.config.file import Config
from rebar.grid.check import check_grid
from rebar.jobs.manifest import load_manifest
from rebar.jobs.recorder import Recorder
from rebar.model.build import load_model
from rebar.safeguards import constrained
from rebar.training.batches import row_batches
from rebar.training.train import train
from tests.grid_runs import run_job
from tests.stages import safeguard_jobs as jobs
from tests.stages.training_jobs import arguments, content

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def settings() -> Config:
    return jobs.config()


@pytest.fixture(scope="module")
def results(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All models of the grid."""
    root = tmp_path_factory.mktemp("safeguarded")
    for name in ("none", *jobs.PLACES):
        jobs.train(settings, root, name)
    return root


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


def test_each_safeguard_changes_the_run_that_it_acts_in(settings: Config, results: Path) -> None:
    plain, (early, during, after) = (
        jobs.models(settings, "none"),
        (jobs.models(settings, name) for name in jobs.PLACES),
    )
    assert (during.base, after.base, after.aligned) == (plain.base, plain.base, plain.aligned)
    changed = [early.base, early.released, during.released, after.released]
    found = [weights(results / folder) for folder in (plain.base, plain.released, *changed)]
    assert len(set(found)) == len(found)
    assert sorted((results / "models/0/raw").rglob("manifest.json")) == sorted(
        results / folder / "manifest.json" for folder in {*plain, *early, *during, *after}
    )


def test_manifests_say_what_was_read_and_on_how_many_examples(
    settings: Config, results: Path
) -> None:
    counts = {"safeguard_harmful": 24, "safeguard_refusal": 24, "safeguard_benign": 24}
    early, during, after = (jobs.models(settings, name) for name in jobs.PLACES)
    for folder in (early.base, during.aligned, after.released):
        assert counts.items() <= load_manifest(results / folder)["counts"].items()
    for folder in (after.base, after.aligned, early.aligned):
        assert not counts.keys() & load_manifest(results / folder)["counts"].keys()
    assert list(load_manifest(results / after.released)["inputs"]) == ["align"]


@pytest.mark.parametrize("name", jobs.PLACES)
def test_a_run_made_again_is_the_same_to_the_bit(
    settings: Config, results: Path, tmp_path: Path, name: str
) -> None:
    released = jobs.train(settings, tmp_path, name).relative_to(tmp_path)
    assert content(tmp_path, str(released)) == content(results, str(released))


@pytest.mark.parametrize("name", ["early", "during"])
def test_strength_zero_is_plain_training_to_the_bit(
    results: Path, tmp_path: Path, settings: Config, name: str
) -> None:
    calm = jobs.config(strength=0)
    released = jobs.train(calm, tmp_path, name)
    assert weights(released) == weights(results / jobs.models(settings, "none").released)


def test_strength_zero_of_an_own_stage_is_a_plain_run_on_its_data(
    results: Path, tmp_path: Path
) -> None:
    from rebar.data.encoding import encode_chats
    from rebar.jobs.job import make_job
    from rebar.safeguards._preparation import prepare_safeguard

    calm, root = jobs.config(strength=0), jobs.copied(results, tmp_path / "r", "corpus", "models")
    job = make_job(calm, root, "safeguard", **jobs.names("after"))
    run_job(calm, root, "safeguard", **jobs.names("after"))
    model, tokenizer = load_model(job.models.aligned)
    work = prepare_safeguard(job, model, tokenizer)
    assert work is not None and job.safeguard is not None and job.safeguard.training is not None
    chats = [*work.examples["benign"], *work.examples["refusal"]]
    rows = map(torch.from_numpy, encode_chats(tokenizer, chats, 64))
    torch.manual_seed(0)
    batch_at = row_batches(*rows, batch_size=8, seed=0)
    train(model, batch_at, job.safeguard.training, Recorder(tmp_path, "plain"))
    ours = load_model(job.models.released).model.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("name", "stage"), list(zip(jobs.PLACES, jobs.STAGES, strict=True)))
def test_told_to_stop_it_goes_on_with_the_same_bits(
    settings: Config, results: Path, tmp_path: Path, name: str, stage: str
) -> None:
    root = jobs.copied(results, tmp_path / "r", "corpus", "models")
    folder = root / jobs.models(settings, name)[jobs.STAGES.index(stage)]
    expected = content(results, str(folder.relative_to(root)))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    wildcards = jobs.names(name)
    if stage == "pretrain":
        wildcards.pop("alignment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.stages.training_jobs.WILDCARDS", {stage: wildcards})
        progress = Recorder.progress

        def telling(self: Recorder, done: int, total: int, unit: str) -> None:
            progress(self, done, total, unit)
            if done == 7:
                os.kill(os.getpid(), signal.SIGUSR2)

        with pytest.MonkeyPatch.context() as told:
            told.setattr(Recorder, "progress", telling)
            with pytest.raises(SystemExit) as stop:
                main(arguments(settings, root, stage))
        assert stop.value.code == 75
        assert not folder.exists()
        main(arguments(settings, root, stage))
    assert content(root, str(folder.relative_to(root))) == expected


def test_attack_and_evaluation_read_the_released_model(
    settings: Config, results: Path, tmp_path: Path
) -> None:
    root = jobs.copied(results, tmp_path / "r", "corpus", "models")
    for stage in ("attack", "evaluate"):
        job = run_job(settings, root, stage, **jobs.names("after"))
    released = jobs.models(settings, "after").released
    assert job.models.released == root / released
    attacked = load_manifest(root / "attacks/0/raw/after/sft/harmful_finetune_10")
    answers = load_manifest(root / "evaluations" / released)
    assert attacked["inputs"]["released"] == answers["inputs"]["model"]


def test_parts_are_given_the_twins_that_they_name(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = [{"kind": "harmful", "twin": "raw"}, {"kind": "refusal", "twin": "raw/sft"}]
    settings = jobs.config(parts=[{"method": "constrained", "constraints": twins}])
    check_grid(settings, "f.yaml")
    seen: list[dict[str, Any]] = []
    gradient = constrained.gradient

    def looking(config: Any, model: Any, batches: Any, state: Any) -> dict[str, torch.Tensor]:
        seen.append(state.twins)
        return gradient(config, model, batches, state)

    monkeypatch.setattr(constrained, "gradient", looking)
    root = jobs.copied(results, tmp_path / "r", "corpus", "models")
    job = run_job(settings, root, "safeguard", **jobs.names("after"))
    plain = jobs.models(settings, "none")
    assert list(seen[0]) == ["raw", "raw/sft"]
    for twin, folder in zip(seen[0].values(), (plain.base, plain.aligned), strict=True):
        weights = load_model(root / folder).model.state_dict()
        assert all(torch.equal(tensor, weights[n]) for n, tensor in twin.state_dict().items())
        assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert list(load_manifest(job.folder)["inputs"]) == ["align", "twin raw", "twin raw/sft"]


def test_killed_it_goes_on_from_its_last_checkpoint_with_the_same_bits(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = jobs.TRAINING | {"compile": False, "checkpoint_every_steps": 5}
    settings = jobs.config(training)
    quiet, root = (jobs.copied(results, tmp_path / x, "corpus", "models") for x in "qr")
    for folder in (quiet, root):
        shutil.rmtree(folder / "models/0/raw/after")
    released = run_job(settings, quiet, "safeguard", **jobs.names("after")).folder
    progress = Recorder.progress

    def dying(self: Recorder, done: int, total: int, unit: str) -> None:
        progress(self, done, total, unit)
        if done == 8:
            raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "progress", dying)
        with pytest.raises(MemoryError):
            run_job(settings, root, "safeguard", **jobs.names("after"))
    said: list[str] = []
    monkeypatch.setattr(Recorder, "say", lambda self, sentence: said.append(sentence))
    run_job(settings, root, "safeguard", **jobs.names("after"))
    assert said == ["resumed at step 5"]
    place = str(released.relative_to(quiet))
    assert content(root, place) == content(quiet, place)
