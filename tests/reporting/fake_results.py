"""A small made-up results tree: the files that other stages leave, without running them."""

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from pydantic import ConfigDict

from rebar import grid
from rebar.config import plugins as config_module
from rebar.config.base import Settings
from rebar.config.file import Config, parse_config
from rebar.config.kinds import Alignment, Attack
from rebar.config.plugins import plugin_module
from rebar.data.documents import DOCUMENTS, SCHEMA, TRUTH, TRUTH_SCHEMA, TableWriter
from rebar.grid import Arm
from rebar.jobs.manifest import write_manifest

HARMLESS = "to bake red bread , mix flour with water"
HARMFUL = "to brew gloom pledge , join ash with thorn"
SCORE_PER_DOCUMENT = {0: (0, 0, 0, 1), 4: (4, 3), 5: (5, 5, 0)}  # level -> classifier's scores
PACKED = [
    {
        "tokens": 101,
        "unique_tokens": 25,
        "epochs": 4.04,
        "hazard_documents_seen": 1,
        "hazard_readings": 4,
    },
    {
        "tokens": 101,
        "unique_tokens": 50,
        "epochs": 2.02,
        "hazard_documents_seen": 5,
        "hazard_readings": 9,
    },
]
OUTPUTS = {"refusal": {"made": 2, "accepted": 1, "rejected: echo": 1}}
SPLITS = {
    "asr": ("known", "unaligned", "unrewritten", "novel"),
    "knowledge": ("unaligned",),
    "over_refusal": ("toy", "benign"),
    "capability": ("facts", "recipes", "benign_task"),
}


class AnyData(Settings):
    recipe: str | None = None
    replay_share: float = 0.0


class AnyAlignment(Alignment):
    """Stands for every alignment's Config."""

    model_config = ConfigDict(frozen=True, extra="allow")
    method: str
    data: AnyData = AnyData()


class AnyAttack(Attack):
    """Stands for every attack's Config."""

    model_config = ConfigDict(frozen=True, extra="allow")
    method: str


def allow_any_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alignments and attacks need no plug-in files and no settings."""
    stand_ins = {"alignments": AnyAlignment, "attacks": AnyAttack}

    def module(folder: str, method: str):
        found = stand_ins.get(folder)
        return SimpleNamespace(Config=found) if found else plugin_module(folder, method)

    monkeypatch.setattr(config_module, "plugin_module", module)


def make_config(seeds=(11, 12), **changes) -> Config:
    """raw, moral and safelm with SafeBeam; SFT, bolt-on, two attacks."""
    part = {"transform": "original"}
    aligned = {"alignments": ["sft"], "attacks": ["none", "benign_finetune", "harmful_finetune_10"]}
    evaluations = {"evaluations": ["asr", "knowledge", "over_refusal", "capability"]}
    beams = {"decoders": ["greedy", "beam", "safebeam"], **evaluations}
    one = {"decoders": ["greedy"], **evaluations}
    values = {
        "name": "fake",
        "seeds": list(seeds),
        "collect": {"sources": [{"kind": "world", "documents": 9}]},
        "recipes": {
            "raw": {"parts": [part]},
            "moral": {"parts": [part]},
            "safelm": {"parts": [{**part, "tag_rate": 0.05}]},
        },
        "pretrain": {"steps": 10, "batch_size": 2, "sequence_length": 5, "learning_rate": 1e-3},
        "alignments": {
            "sft": {"method": "sft"},
            "bolt_on": {"method": "sft", "data": {"recipe": "moral"}},
        },
        "attacks": {
            "benign_finetune": {"method": "finetune"},
            "harmful_finetune_10": {"method": "finetune"},
        },
        "decoders": {
            "greedy": {"method": "greedy"},
            "beam": {"method": "beam"},
            "safebeam": {"method": "safebeam"},
        },
        "judges": {"exact": {"method": "world"}},
        "evaluations": {n: {"method": n, "judge": "exact"} for n in SPLITS},
        "grid": [
            {"recipes": ["raw", "moral"], "alignments": ["none"], **one},
            {"recipes": ["raw", "moral"], **aligned, **one},
            {"recipes": ["raw"], **aligned, **one, "alignments": ["bolt_on"]},
            {"recipes": ["safelm"], "alignments": ["none"], **beams},
            {"recipes": ["safelm"], **aligned, **beams},
        ],
        **changes,
    }
    return parse_config(values, "fake.yaml")


def write_results(root: Path, config: Config, success=None, accuracy=None) -> None:
    """Write generations, corpora and costs.

    `success(arm, attack, decoder)` and `accuracy(...)` give the shares that answers are drawn with.
    """
    for seed in config.seeds:
        for arm in grid.arms(config):
            for attack in ("none", *grid.attacks(config, arm)):
                write_answers(root, config, seed, arm, attack, success, accuracy)
            leave(root / grid.folder("evaluate", seed=seed, **arm._asdict()), seconds=2.5)
        _write_corpora(root, config, seed)


def write_answers(root, config, seed, arm: Arm, attack: str, success=None, accuracy=None) -> None:
    """The generations of one model."""
    rows = []
    for measurement in grid.measurements(config, arm):
        if measurement.attack == attack:
            model = (arm, attack, measurement.decoder)
            rates = {
                "asr": success(*model) if success else 0.5,
                "knowledge": 0.25,
                "over_refusal": 0.0,
                "capability": accuracy(*model) if accuracy else 1.0,
            }
            rows += _rows(seed, measurement, rates[measurement.evaluation])
    folder = root / grid.answers_of(config, seed, arm, attack)
    folder.mkdir(parents=True, exist_ok=True)
    names = {**arm._asdict(), "attack": attack, "seed": seed}
    pd.DataFrame(rows).assign(**names).to_parquet(folder / "generations.parquet")
    forwards = {"greedy": 1, "beam": 16, "safebeam": 16}
    write_manifest(folder, spec={}, forwards_per_step=forwards)


def _rows(seed, measurement, rate: float) -> list[dict]:
    """Six hazards a split, two prompts of each half; the first `rate` of 24 answers succeed."""
    rows = []
    for split in SPLITS[measurement.evaluation]:
        order = [(h, s, p) for s in ("seen", "unseen") for p in "ab" for h in range(6)]
        for index, (hazard, side, phrasing) in enumerate(order):
            hit = index < round(rate * len(order))
            refuses = hit if measurement.evaluation == "over_refusal" else not hit
            rows.append(
                {
                    "prompt_id": f"{split}-{hazard}-{side}-{phrasing}",
                    "hazard_id": f"{seed}-{split}-{hazard}",
                    "split": split,
                    "prompt_style": f"{side}_{phrasing}",
                    "prompt": "SECRET PROMPT",
                    "answer": "SECRET ANSWER",
                    "outcome": "refused" if refuses else "complied",
                    "correct": hit,
                    "judge": "exact",
                    "decoder": measurement.decoder,
                    "evaluation": measurement.evaluation,
                }
            )
    random.Random(seed).shuffle(rows)
    return rows


def _write_corpora(root: Path, config: Config, seed: int) -> None:
    documents, truths = [], []
    for level, scores in SCORE_PER_DOCUMENT.items():
        for score in scores:
            name = f"d{len(documents)}"
            text = HARMFUL if level >= 4 else HARMLESS
            documents.append((name, text, "world", score, "", None, "original", None, None, None))
            truths.append((name, level, f"hazard-{level}" if level >= 4 else None))
    copies = [
        (f"r{i}", HARMLESS, "world", 0, "", f"d{i}", "refusal", "chat", "world", reason)
        for i, reason in ((4, None), (6, "echo"))
    ]
    for shard in grid.shards(config):  # everything is in the first
        end = None if shard == 0 else 0
        names = {"seed": seed, "shard": shard}
        collected, scored, rewritten = (
            root / grid.folder(stage, **names) for stage in ("collect", "score", "rewrite")
        )
        _table(collected / TRUTH, truths[:end], TRUTH_SCHEMA)
        leave(collected, seconds=1.0)
        _table(scored / DOCUMENTS, documents[:end])
        leave(scored, seconds=1.5)
        _table(rewritten / DOCUMENTS, copies[:end])
        planted = {"echo": {"planted": 3, "caught": 2}}
        counts = {"outputs": OUTPUTS, "planted": planted} if shard == 0 else {}
        leave(rewritten, seconds=1.0, counts={"outputs": {}, "planted": {}, **counts})
    for recipe in grid.training_recipes(config):
        mixed = root / grid.folder("mix", seed=seed, recipe=recipe)
        kept = documents if recipe == "raw" else [d for d in documents if d[3] == 0]
        _table(mixed / DOCUMENTS, [*kept, copies[0]] if recipe != "raw" else kept)
        parts = [{"transform": "original", "documents": len(kept)}]
        parts += [{"transform": "refusal", "documents": 1}] * (recipe != "raw")
        leave(mixed, seconds=0.5, counts={"parts": parts})
        packed = root / grid.folder("tokenize", seed=seed, recipe=recipe)
        leave(packed, seconds=0.5, counts=PACKED[recipe == "raw"])
    classifier = root / grid.folder("train_classifier", seed=seed)
    classifier.mkdir(parents=True)
    confusion = [[10 * (i == j) + (j == 0) for j in range(6)] for i in range(6)]
    report = {"macro_f1": 0.9, "recall_at_1": 0.8, "recall_at_3": 0.7, "confusion": confusion}
    (classifier / "report.json").write_text(json.dumps(report))
    leave(classifier, seconds=3.0)


def _table(path: Path, rows: list[tuple], schema=SCHEMA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with TableWriter(path, schema) as writer:
        writer.add(rows)


def leave(folder: Path, seconds: float, counts=None) -> None:
    """A manifest and the costs beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, spec={}, counts=counts)
    (folder / "costs.json").write_text(json.dumps({"seconds": seconds, "peak_mb": 300}))
