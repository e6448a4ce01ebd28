"""What a named safeguard adds to a grid: its own jobs and paths, its errors, and nothing else."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rebar import grid
from rebar.config.file import Config, parse_config
from rebar.config.plugins import safeguard_settings
from rebar.cost.resources import resources, workload_of
from rebar.grid import Arm, dag
from rebar.grid.check import check_grid
from rebar.grid.hub_access import hub_ids
from rebar.jobs.job import Job, make_job
from rebar.safeguards import sam
from rebar.tracking.runs import measured_model, values_by_model
from tests.config.test_file import SMOKE
from tests.conftest import ROOT
from tests.stages.safeguard_jobs import PLACES, config, names, safeguard

RESULTS = Path("results/smoke")


@pytest.fixture(scope="module")
def three() -> Config:
    return config()


def with_arms(*safeguards: str) -> Config:
    """The grid of `config` with these safeguards alone."""
    values = config().model_dump(mode="json")
    values["safeguards"] = {n: s for n, s in values["safeguards"].items() if n in safeguards}
    values["grid"][0]["safeguards"] = list(safeguards)
    return parse_config(values, "f.yaml")


def jobs(settings: Config) -> Counter[str]:
    return Counter(dag.node(place).stage for place in dag.all_jobs(settings))


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("early", {"pretrain": 1, "align": 1}),
        ("during", {"align": 1}),
        ("after", {"safeguard": 1}),
    ],
)
def test_a_safeguard_adds_no_job_before_the_run_that_it_acts_in(
    name: str, added: dict[str, int]
) -> None:
    alone, both = jobs(with_arms("none")), jobs(with_arms("none", name))
    assert both - alone == Counter(added | {"attack": 1, "evaluate": 1})


def test_an_arms_models_lie_below_the_first_run_that_is_its_own(three: Config) -> None:
    found = {
        name: [str(f) for f in grid.models_of(3, Arm("raw", name, "sft"), place)]
        for name, place in (PLACES | {"none": "none"}).items()
    }
    plain, aligned = "models/3/raw/none/base", "models/3/raw/none/sft/aligned"
    assert found == {
        "none": [plain, aligned, aligned],
        "early": ["models/3/raw/early/base", *2 * ["models/3/raw/early/sft/aligned"]],
        "during": [plain, *2 * ["models/3/raw/during/sft/aligned"]],
        "after": [plain, aligned, "models/3/raw/after/sft/released"],
    }
    base = grid.models_of(3, Arm("raw", "early", "none"), "pretraining")
    assert {str(folder) for folder in base} == {"models/3/raw/early/base"}
    assert grid.maker(Path("models/3/raw/after/sft/released")) == ("safeguard", False)
    with pytest.raises(AssertionError, match="acts in none"):
        grid.models_of(3, Arm("raw", "after", "sft"))


def test_what_reads_models_finds_those_of_the_arm(three: Config) -> None:
    reads = {name: dag.reads(three, "attack", **names(name)) for name in PLACES}
    assert [str(folder) for (folder,) in reads.values()] == [
        "models/0/raw/early/sft/aligned",
        "models/0/raw/during/sft/aligned",
        "models/0/raw/after/sft/released",
    ]
    for name in ("early", "during"):
        base = dag.reads(three, "align", **names(name))
        assert base == [grid.models_of(0, Arm("raw", name, "sft"), PLACES[name]).base]
    assert dag.reads(three, "safeguard", **names("after")) == [
        Path("models/0/raw/none/sft/aligned")
    ]
    answers = Path("evaluations/models/0/raw/after/sft/released")
    assert answers in dag.items(three, Path("evaluations/0/raw/after/sft"))
    assert answers in grid.evaluated(three)


def test_a_jobs_models_survive_the_command_line(three: Config) -> None:
    for name, place in PLACES.items():
        job = make_job(three, RESULTS, "evaluate", **names(name))
        copied = Job.from_json(json.dumps(job.spec), RESULTS)
        found = grid.models_of(0, Arm("raw", name, "sft"), place)
        assert copied.models == tuple(RESULTS / folder for folder in found)
        assert copied.safeguard is None


def test_only_the_job_that_it_acts_in_carries_a_safeguard(three: Config) -> None:
    for name, stage in zip(PLACES, ("pretrain", "align", "safeguard"), strict=True):
        job = make_job(three, RESULTS, stage, **names(name))
        assert job.safeguard == three.safeguards[name]
        assert {"safeguarded", "safeguards.sam"} <= set(job.code)
        assert job.settings["world"]["guarded_hazards"] == 6
    for name, stage in (("early", "align"), ("after", "attack"), ("none", "pretrain")):
        job = make_job(three, RESULTS, stage, **names(name))
        assert job.safeguard is None
        assert not [key for key in job.code if key.startswith("safeguard")]


def test_jobs_without_a_safeguard_know_nothing_of_those_that_are_defined(three: Config) -> None:
    alone = with_arms("none")
    for place in dag.all_jobs(alone):
        stage, wildcards = dag.node(place)
        specs = [make_job(c, RESULTS, stage, **wildcards).spec for c in (alone, three)]
        assert specs[0] == specs[1]
        assert "acts_in" not in specs[0]["settings"]
    assert set(dag.all_jobs(alone)) <= set(dag.all_jobs(three))


def constrained(*twins: str) -> list[dict[str, Any]]:
    kinds = zip(("harmful", "refusal"), twins, strict=False)
    constraints = [{"kind": kind, "twin": twin} for kind, twin in kinds]
    return [{"method": "constrained", "constraints": constraints}]


def test_a_twin_is_another_model_of_the_grid_that_is_made_before() -> None:
    values = with_arms("early").model_dump(mode="json")
    values["safeguards"]["early"]["parts"] = constrained("moral", "moral/sft")
    values["recipes"]["moral"] = values["recipes"]["raw"]
    settings = parse_config(values, "f.yaml")
    check_grid(settings, "f.yaml")
    assert [str(folder) for folder in dag.reads(settings, "pretrain", **names("early"))] == [
        "corpus/0/packed/raw",
        "models/0/moral/none/base",
        "models/0/moral/none/sft/aligned",
    ]
    assert len(dag.reads(settings, "align", **names("early"))) == 1
    order = list(dag.all_jobs(settings))
    twin, own = Path("models/0/moral/none/sft/aligned"), Path("models/0/raw/early/base")
    assert order.index(twin) < order.index(own)
    values["safeguards"]["early"]["parts"] = constrained("score0/dpo")
    settings = parse_config(values, "f.yaml")
    with pytest.raises(ValueError) as error:
        check_grid(settings, "f.yaml")
    text = "f.yaml: safeguards.early: its twin's"
    assert f"{text} recipe 'score0' is not defined; allowed: raw, moral" in str(error.value)
    assert f"{text} alignment 'dpo' is not defined; allowed: sft" in str(error.value)


def test_a_safeguard_asks_for_its_passes_and_its_memory(three: Config) -> None:
    for name, stage in zip(PLACES, ("pretrain", "align", "safeguard"), strict=True):
        guarded = workload_of(three, stage, names(name))
        calm = workload_of(config(strength=0), stage, names(name))
        assert guarded.train_flops == 2 * calm.train_flops  # SAM: two passes a step
        half = workload_of(config(start=0.25, end=0.75), stage, names(name))
        assert half.train_flops == 1.5 * calm.train_flops
        assert resources(three, stage, names(name)).cpus == 1
    plain = workload_of(three, "align", names("none"))
    assert workload_of(three, "align", names("during")).memory_bytes > plain.memory_bytes
    assert workload_of(three, "align", names("early")) == plain


def test_an_own_stage_trains_as_its_training_says(three: Config) -> None:
    job = make_job(three, RESULTS, "safeguard", **names("after"))
    assert job.training == three.safeguards["after"].training


def test_parts_of_a_combination_share_the_plain_pass() -> None:
    parts = [{"method": "sam"}, {"method": "sam", "on": "harmful"}]
    setting = safeguard_settings("both", safeguard("pretraining", parts=parts))
    assert setting.passes == 1 + 1 + 2


def test_hub_ids_of_a_safeguard_are_read_where_it_may_act() -> None:
    hub = {"hub": {"dataset": "someone/answers"}, "prompt": "p", "answer": "a"}
    data = {"harmful": [hub], "refusal": [hub], "benign": [hub]}
    values = config(data=data)
    for stage in ("pretrain", "align", "safeguard"):
        assert {i.name for i in hub_ids(values, [stage])} == {"someone/answers"}
    assert not hub_ids(values, ["attack"])


def test_measured_values_find_their_model_without_its_path() -> None:
    row = names("after") | {"attack": "none", "evaluation": "asr", "metric": "refused"}
    row |= {"split": "known", "decoder": "greedy", "value": "0.5"}
    values = values_by_model([{key: str(value) for key, value in row.items()}])
    spec = {"stage": "evaluate", "wildcards": names("after") | {"attack": "none"}}
    model = measured_model(spec)
    assert model is not None
    assert values[model] == {"asr.refused.known.greedy": 0.5}
    assert measured_model(spec | {"stage": "attack"}) is None
    assert measured_model(spec | {"wildcards": names("after")}) is None


# ------------------------------------------------------------------------------ errors


def invalid(settings: dict[str, Any]) -> str:
    values = copy.deepcopy(SMOKE) | {"safeguards": settings}
    with pytest.raises(ValueError) as error:
        parse_config(values, "f.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            safeguard("alignment", parts=[{"method": "sam"}, {"method": "sam", "rhoo": 1}]),
            "f.yaml: safeguards.x.parts.1.rhoo: unknown key; allowed: adaptive, method, on, rho",
        ),
        (
            safeguard("alignment", parts=[{"method": "sam", "rho": -1}]),
            "f.yaml: safeguards.x.parts.0.rho: Input should be greater than or equal to 0; got -1",
        ),
        (
            safeguard("alignment", parts=[{"method": "sham"}]),
            "f.yaml: safeguards.x.parts.0: method 'sham' is unknown; known: ",
        ),
        (
            safeguard("alignment", parts=[{}]),
            "f.yaml: safeguards.x.parts.0 needs 'method:', one of ",
        ),
        (safeguard("alignment", parts=[]), "f.yaml: safeguards.x.parts: List should have at least"),
        (
            safeguard("posttraining"),
            "f.yaml: safeguards.x.acts_in: Input should be 'pretraining', 'alignment' or 'own_",
        ),
        (
            safeguard("alignment", start=1, end=0.5),
            "f.yaml: safeguards.x: start 1.0 must be before",
        ),
        ({"acts_in": "own_stage", "parts": [{"method": "sam"}]}, "f.yaml: safeguards.x: training:"),
        (safeguard("alignment", data={"chats": 3}), "f.yaml: safeguards.x.data.chats: unknown key"),
        ("sam", "f.yaml: safeguards.x is a mapping with acts_in: and parts:, not 'sam'"),
    ],
)
def test_a_mistake_gets_one_sentence_with_its_key(setting: Any, sentence: str) -> None:
    assert sentence in invalid({"x": setting})


def test_all_mistakes_are_told_at_once() -> None:
    parts = [{"method": "sham"}, {"method": "sam", "rho": "wide"}]
    text = invalid({"x": safeguard("alignment", parts=parts), "y": 3})
    assert len(text.split("\n")) == 3


def told(**changes: Any) -> str:
    """What the check says of the grid of `config` with these top-level keys replaced."""
    values = config().model_dump(mode="json") | changes
    settings = parse_config(values, "f.yaml")
    with pytest.raises(ValueError) as error:
        check_grid(settings, "f.yaml")
    return str(error.value)


def block(**changes: Any) -> list[dict[str, Any]]:
    return [config().model_dump(mode="json")["grid"][0] | changes]


def test_the_grid_of_three_safeguards_fits_together(three: Config) -> None:
    check_grid(three, "f.yaml")
    assert {arm.safeguard for arm in grid.arms(three)} == {"none", *PLACES}


def test_unknown_and_unused_safeguards_are_told() -> None:
    text = told(grid=block(safeguards=["none", "early", "during", "afte"]))
    assert "f.yaml: grid.0.safeguards: 'afte' is not defined; allowed: none, early, " in text
    assert "f.yaml: safeguards.after: defined, but no block of grid: selects it" in text


def test_a_run_that_an_arm_does_not_have_is_told() -> None:
    text = told(grid=block(alignments=["none", "sft"], attacks=["none"]))
    assert "grid.0.safeguards: 'during' acts in alignment, but alignment 'none' has only a" in text
    assert "grid.0.safeguards: 'after' acts in own_stage, but alignment 'none' has only a" in text
    assert "'early'" not in text
    recipes = {"raw": {"initial_model": "some/model"}}
    assert "'early' acts in pretraining, but recipe 'raw' starts from initial_model" in told(
        recipes=recipes
    )


def test_an_alignment_that_trains_nothing_holds_no_safeguard() -> None:
    alignments = config().model_dump(mode="json")["alignments"]
    alignments["sft"]["training"]["steps"] = 0
    text = told(alignments=alignments)
    assert "'during' acts in alignment, but 'sft' trains for 0 steps" in text
    assert "'after'" not in text


def test_a_method_in_a_place_that_it_is_not_made_for_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sam.Config, "places", ("own_stage",))
    text = told()
    for name, place in (("early", "pretraining"), ("during", "alignment")):
        sentence = f"safeguards.{name}.parts.0.method: 'sam' cannot act in {place}; acts_in allowed"
        assert f"f.yaml: {sentence} for it: own_stage" in text
    assert "safeguards.after" not in text


def test_a_world_without_guarded_hazards_is_told_before_any_job() -> None:
    values = config().model_dump(mode="json")
    world = values["world"] | {"guarded_hazards": 0}
    attacks = values["attacks"]
    attacks["harmful_finetune_10"]["hazards"] = "guarded"
    text = told(world=world, attacks=attacks)
    wanted = (
        "reads guarded hazards of the world, but world.guarded_hazards is 0; allowed: 1 and more"
    )
    for reader in (*(f"safeguards.{name}.data" for name in PLACES),
                   "attacks.harmful_finetune_10.hazards"):  # fmt: skip
        assert f"f.yaml: {reader}: {wanted}" in text
    files = {"path": "package:x/y.jsonl"}
    own = config(data={"harmful": [files], "refusal": [files]}).model_dump(mode="json")
    check_grid(parse_config(own | {"world": world}, "f.yaml"), "f.yaml")


def test_reading_a_config_with_safeguards_imports_no_torch() -> None:
    code = (
        "import json, sys; sys.path.insert(0, 'workflow')\n"
        "from rebar.config.file import parse_config\n"
        "from rebar.grid.check import check_grid\n"
        "config = parse_config(json.load(sys.stdin), 'f')\n"
        "check_grid(config, 'f'); assert 'torch' not in sys.modules"
    )
    text = json.dumps(config().model_dump(mode="json"))
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0
