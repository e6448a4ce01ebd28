"""Typed settings: every shipped file loads, every mistake gets one clear sentence."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rebar.config.file import load_config, parse_config
from rebar.grid.check import check_grid

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "config").glob("*.yaml"))
SMOKE = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())


def changed(path: str, value: object) -> dict:
    """The smoke config with one key set; `path` has dots."""
    config = copy.deepcopy(SMOKE)
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return config


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_every_shipped_config_loads_and_fits_together(file: Path) -> None:
    config = load_config(file)
    check_grid(config, file.name)
    assert config.name == file.stem


@pytest.mark.parametrize("name", ["ladder", "ladder-labels-200", "ladder-labels-400"])
def test_the_ladder_differs_from_the_demo_only_where_it_says(name: str) -> None:
    demo, ladder = (load_config(ROOT / f"config/{n}.yaml") for n in ("demo", name))
    for section in ("collect", "rewrite", "model", "pretrain"):
        assert getattr(ladder, section) == getattr(demo, section), section
    assert ladder.world == demo.world.model_copy(update={"guarded_hazards": 0})  # no safeguards
    for attack in ladder.attacks:
        assert ladder.attacks[attack] == demo.attacks[attack]
    assert ladder.alignments["sft"] == demo.alignments["sft"]
    for decoder in ladder.decoders:
        assert ladder.decoders[decoder] == demo.decoders[decoder]
    for recipe in set(ladder.recipes) & set(demo.recipes):
        assert ladder.recipes[recipe] == demo.recipes[recipe]


def test_chosen_safeguards_are_tested_as_they_were_chosen_on_other_seeds() -> None:
    grid, chosen = (
        load_config(ROOT / f"config/{n}.yaml") for n in ("safeguards", "safeguards-chosen")
    )
    assert not set(chosen.seeds) & {*range(10), *grid.seeds}
    assert len(chosen.seeds) == 5
    picked = {"name", "seeds", "grid", "recipes", "safeguards"}
    assert chosen.model_dump(exclude=picked) == grid.model_dump(exclude=picked)
    for section in ("recipes", "safeguards"):
        for name, setting in getattr(chosen, section).items():
            assert setting == getattr(grid, section)[name]


@pytest.mark.parametrize(
    ("path", "value", "sentences"),
    [
        ("pretrain.learning_rat", 1.0, ["f.yaml: pretrain.learning_rat: unknown key", "betas"]),
        (
            "pretrain.learning_rate",
            -1.0,
            ["f.yaml: pretrain.learning_rate", "greater than 0", "-1"],
        ),
        ("pretrain.steps", "many", ["f.yaml: pretrain.steps", "integer", "'many'"]),
        ("recipes.raw.parts.0.kep", 0.5, ["recipes.raw.parts.0.kep: unknown key", "keep, repeat"]),
        ("recipes.raw.parts.0.keep", 1.5, ["recipes.raw.parts.0.keep", "1.5"]),
        ("recipes.raw", {}, ["recipes.raw: a recipe needs parts or initial_model"]),
        (
            "attacks.harmful_finetune_10.exampels",
            3,
            ["attacks.harmful_finetune_10.exampels: unknown"],
        ),
        (
            "attacks.x",
            {"method": "lora"},
            ["attacks.x: method 'lora' is unknown", "benign_finetune"],
        ),
        ("attacks.x", {"steps": 3}, ["attacks.x needs 'method:', one of benign_finetune"]),
        ("decoders.a/b", {"method": "greedy"}, ["letters, digits"]),
        ("decoders.x", {"method": "bean"}, ["decoders.x", "'greedy'", "'safebeam'"]),
        ("name", "a/b", ["name: 'a/b' cannot name a folder"]),
        ("name", "..", ["cannot name a folder"]),
        ("recipes.none", {}, ["recipes.none", "a word of its own"]),
        ("attacks", None, ["attacks: expected a mapping of names to settings, not None"]),
        (
            "collect.sources.0.documentz",
            5,
            ["f.yaml: collect.sources.0.documentz: unknown key; allowed: about, documents, kind"],
        ),
        (
            "decoders.greedy.risk_floor",
            0.1,
            ["f.yaml: decoders.greedy.risk_floor: unknown key; allowed: method"],
        ),
        ("world.fresh_hazards", 10**6, ["f.yaml: world:", "the world has names for 2400"]),
        ("tokenise", {}, ["tokenise: unknown key; allowed: ", "tokenize"]),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(
    path: str, value: object, sentences: list[str]
) -> None:
    with pytest.raises(ValueError) as error:
        parse_config(changed(path, value), "f.yaml")
    for sentence in sentences:
        assert sentence in str(error.value)


def test_all_mistakes_are_told_at_once() -> None:
    config = changed("attacks.x", {"method": "lora"})
    config["attacks"]["y"] = {"method": "rola"}
    config["pretrain"]["stepz"] = 1
    with pytest.raises(ValueError) as error:
        parse_config(config, "f.yaml")
    assert [line.split(": ")[1] for line in str(error.value).split("\n")] == [
        "pretrain.stepz",
        "attacks.x",
        "attacks.y",
    ]


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such config file"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="a config file is a mapping"):
        load_config(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_config(tmp_path / "broken.yaml")


def test_settings_never_change_after_loading(smoke) -> None:
    with pytest.raises(ValueError, match="frozen"):
        smoke.name = "other"


def test_reading_every_setting_imports_no_torch() -> None:
    code = (
        "import sys; from rebar.config.plugins import PLUGIN_FOLDERS, plugin_module, plugin_names\n"
        "import rebar.grid, rebar.jobs.job, rebar.cli.main\n"
        "[plugin_module(f, n).Config for f in PLUGIN_FOLDERS for n in plugin_names(f)]\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'mlflow', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "workflow",
    )
    assert result.stdout.strip() == "[]"
