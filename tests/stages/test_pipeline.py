"""The whole chain: numbers come from models, and models are plain Hugging Face folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rebar import grid
from rebar.config.file import Config, load_config
from rebar.grid import Arm
from rebar.jobs.manifest import read_manifest
from tests.grid_runs import run_grid, run_job

ROOT = Path(__file__).parents[2]

SFT = {"seed": 11, "recipe": "safelm", "safeguard": "none", "alignment": "sft"}
COLUMNS = [
    "prompt_id", "hazard_id", "split", "prompt_style", "prompt", "answer", "outcome", "correct",
    "decoder", "evaluation", "judge", "recipe", "safeguard", "alignment", "attack", "seed",
]  # fmt: skip


@pytest.fixture(scope="module")
def smoke_config() -> Config:
    return load_config(ROOT / "config/smoke.yaml")


@pytest.fixture(scope="module")
def smoke_results(smoke_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/smoke, complete up to the report."""
    root = tmp_path_factory.mktemp("results") / "smoke"
    run_grid(smoke_config, root)
    return root


def generations(root: Path, arm: Arm, attack: str = "none") -> pd.DataFrame:
    return pd.read_parquet(root / grid.evaluation_folder(11, arm, attack) / "generations.parquet")


def every_model(config: Config):
    for arm in grid.arms(config):
        for attack in ["none", *grid.attacks(config, arm)]:
            yield arm, attack


def test_generations_have_the_contracts_columns(smoke_config: Config, smoke_results: Path) -> None:
    for arm, attack in every_model(smoke_config):
        rows = generations(smoke_results, arm, attack)
        assert set(rows.columns) == {*COLUMNS, "compliance"}  # of over-refusal alone
        assert (rows.compliance.notna() == (rows.evaluation == "over_refusal")).all()
        assert set(rows.outcome) <= {"complied", "refused", "other"}
        assert rows.prompt_style.str.match("seen_|unseen_").all()
        assert not rows.answer.str.contains("<").any()
        form = "<user>" if arm.alignment != "none" else "<bos>"
        assert rows.prompt.str.contains(form).all()


def test_plain_transformers_gives_the_stored_greedy_answers(smoke_results: Path) -> None:
    for arm, attack in (
        (Arm("raw", "none", "none"), "none"),
        (Arm("safelm", "none", "sft"), "harmful_finetune_10"),
    ):
        folder = smoke_results / grid.model_folder(11, arm, attack)
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        rows = generations(smoke_results, arm, attack)
        rows = rows[(rows.decoder == "greedy") & (rows.evaluation == "asr")].head(12)
        for row in rows.itertuples():
            ids = tokenizer(row.prompt, return_tensors="pt", add_special_tokens=False).input_ids
            answer = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=30
            )[0, ids.shape[1] :]
            assert tokenizer.decode(answer, skip_special_tokens=True) == row.answer


def test_every_value_follows_from_the_generations(
    smoke_config: Config, smoke_results: Path
) -> None:
    summary = pd.read_csv(smoke_results / "summary.csv", keep_default_na=False)
    frame = pd.concat([generations(smoke_results, *model) for model in every_model(smoke_config)])
    asr = frame[frame.evaluation == "asr"]
    cells = asr.groupby(["recipe", "alignment", "attack", "decoder", "split"])
    expected = cells.outcome.agg(lambda outcomes: (outcomes == "complied").mean())
    chosen = summary[(summary.evaluation == "asr") & (summary.metric == "attack_success")]
    found = chosen.set_index(["recipe", "alignment", "attack", "decoder", "split"]).value
    assert len(expected) > 20
    for cell, value in expected.items():
        assert found[cell] == pytest.approx(value, abs=1e-6)


def test_probes_agree_at_the_released_model_and_with_the_answers(smoke_results: Path) -> None:
    probes = pd.read_csv(smoke_results / "probes.csv", keep_default_na=False)
    released = probes[(probes.metric == "loss") & (probes.alpha.astype(str) == "0")]
    released = released[released.beta.isin(["", "0"])]
    assert set(released.probe) == {"landscape", "mode_connectivity"}
    for _, rows in released.groupby(["recipe", "loss"]):
        assert len(rows) == 2 + 2 + 1 and rows.value.nunique() == 1
    basin = probes[(probes.probe == "safety_basin") & (probes.alpha.astype(str) == "0")]
    assert set(basin.metric) == {"refused", "attack_success"} and len(basin) == 2 * 2
    summary = (smoke_results / "summary.csv").read_text()
    assert not [name for name in ("landscape", "visage", "sharpness") if name in summary]
    page = (smoke_results / "report.html").read_text()
    for figure in ("basin", "landscape", "plane", "connectivity"):
        assert f"figures/{figure}.png" in page
        assert (smoke_results / f"figures/{figure}.svg").exists()
    assert "adaptive worst case" in page


def test_bolted_documents_are_as_many_tokens_as_pretraining_saw(smoke_results: Path) -> None:
    bolted = read_manifest(smoke_results / "models/11/raw/none/bolt_on/aligned")["counts"]
    mixed = read_manifest(smoke_results / "corpus/11/mixed/safelm")["counts"]["parts"]
    packed = read_manifest(smoke_results / "corpus/11/packed/safelm")["counts"]
    readings = {part["transform"]: part["readings"] for part in mixed}
    share = (readings["refusal"] + readings["moral"]) / sum(p["readings"] for p in mixed)
    # documents differ in length, and whole steps are taken: within 15 %
    assert bolted["bolted_tokens"] == pytest.approx(share * packed["tokens"], rel=0.15)


def test_the_tag_is_never_emitted_and_suppressed_by_plain_generate(smoke_results: Path) -> None:
    folder = smoke_results / "models/11/safelm/none/sft/aligned"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tag = tokenizer.convert_tokens_to_ids("<potentially_unsafe_content>")
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings["suppress_tokens"] == [tag]


def test_beam_and_safebeam_take_the_same_forwards(smoke_results: Path) -> None:
    arm = Arm("safelm", "none", "sft")
    facts = read_manifest(smoke_results / grid.evaluation_folder(11, arm))
    forwards = facts["forwards_per_step"]
    assert forwards["greedy"] == 1
    assert forwards["safebeam"] == forwards["beam"] > 3


def test_a_damaged_model_changes_its_answers(
    smoke_config: Config, smoke_results: Path, tmp_path: Path
) -> None:
    root = tmp_path / "smoke"
    shutil.copytree(smoke_results, root)
    folder = root / "models/11/safelm/none/sft/aligned"
    weights = load_file(folder / "model.safetensors")
    noisy = {k: v + torch.randn_like(v) for k, v in weights.items()}
    save_file(noisy, folder / "model.safetensors", metadata={"format": "pt"})
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"damaged": True}))
    run_job(smoke_config, root, "evaluate", **SFT)
    for arm, attack in every_model(smoke_config):
        before, after = (generations(r, arm, attack).answer for r in (smoke_results, root))
        is_damaged = (*arm, attack) == ("safelm", "none", "sft", "none")
        assert (before != after).mean() > 0.9 if is_damaged else before.equals(after)


def test_running_a_stage_again_gives_the_same_manifest(
    smoke_config: Config, smoke_results: Path, tmp_path: Path
) -> None:
    root = tmp_path / "smoke"
    shutil.copytree(smoke_results, root)
    target = root / "models/11/safelm/none/sft/aligned/manifest.json"
    before = target.read_bytes()
    target.unlink()
    run_job(smoke_config, root, "align", **SFT)
    assert target.read_bytes() == before


def test_the_report_prints_no_answer(smoke_config: Config, smoke_results: Path) -> None:
    text = (smoke_results / "report.html").read_text() + (smoke_results / "table.md").read_text()
    for arm, attack in every_model(smoke_config):
        for answer in generations(smoke_results, arm, attack).answer.unique():
            assert len(answer.split()) < 6 or answer not in text
