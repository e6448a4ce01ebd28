"""The planted direction is found and taken out; a model without one stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rebar.attacks import refusal_ablation as plugin
from rebar.attacks._data import AttackData
from rebar.config.rows import PromptFile
from rebar.config.world import World
from rebar.data.encoding import encode, prompt_text
from tests.attacks.planted import refusing_model
from tests.attacks.targets import target

DATA = AttackData(World(), 3)
SMALL = {"method": "refusal_ablation", "train": 12, "validation": 6}


def scores(model, tokenizer, prompts) -> torch.Tensor:
    ids = [encode(tokenizer, prompt_text(tokenizer, p.text, chat=True)) for p in prompts]
    sorry = tokenizer.convert_tokens_to_ids("sorry")
    return plugin.refusal_scores(model, ids, [sorry])


def test_a_planted_direction_is_found_and_taken_out(tmp_path: Path) -> None:
    model, tokenizer, r_D = refusing_model()
    harmful = DATA.harmful_requests([], 40)
    assert (scores(model, tokenizer, harmful) > 0).all()
    under_attack = target(model, tokenizer, DATA, tmp_path)
    attacked = plugin.attack(plugin.Config(**SMALL), under_attack)
    assert (scores(attacked, tokenizer, harmful) < -1).all()
    facts = {"found": True, "layer": 1, "position": -1, "harmful": 12, "harmless": 12}
    assert under_attack.facts == {"direction": facts}
    assert (attacked.model.embed_tokens.weight.double() @ r_D).abs().max() < 1e-5
    (line,) = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert (line["layer"], line["position"]) == (1, -1)
    assert line["kl"] < 1e-4
    assert line["induced"] > 0 > line["remaining"]


def test_the_direction_is_the_planted_one() -> None:
    model, tokenizer, r_D = refusing_model()
    config = plugin.Config(**SMALL)
    train, _ = plugin._requests(config, model, tokenizer, DATA, [0])
    unfiltered = plugin._requests(
        plugin.Config(**SMALL, filtered=False), model, tokenizer, DATA, [0]
    )[0]
    (candidate,) = plugin.candidates(config, model, unfiltered, 1)  # layer 0 sees `<bot>` alone
    assert float(candidate.unit_D @ r_D) > 0.999
    assert train.harmful == []  # nothing is refused by the padding token


@pytest.mark.parametrize(("name", "value"), [("kl", 0.2), ("induced", -0.1), ("kl", float("nan"))])
def test_candidates_are_dropped(name: str, value: float) -> None:
    config = plugin.Config(**SMALL)
    good = plugin.Candidate(-1, 1, None, kl=0.05, induced=1.0, remaining=-1.0)
    better = good._replace(layer=2, remaining=-2.0)
    assert plugin.choose(config, [good, better]) is better
    assert plugin.choose(config, [good, better._replace(**{name: value})]) is good
    assert plugin.choose(config, []) is None
    lenient = plugin.Config(**SMALL, least_induced=-1.0, largest_kl=1.0)
    dropped = better._replace(**{name: value})
    assert plugin.choose(lenient, [good, dropped]) is (good if value != value else dropped)


def test_late_layers_are_not_looked_at() -> None:
    model, tokenizer, _ = refusing_model()
    with torch.no_grad():  # every layer's output tells the kinds apart
        for layer in model.model.layers[1:]:
            layer.self_attn.o_proj.weight.normal_()
    wide = plugin._requests(plugin.Config(**SMALL, filtered=False), model, tokenizer, DATA, [0])[0]
    found = plugin.candidates(plugin.Config(**SMALL), model, wide, 1)
    assert [c.layer for c in found] == [1]  # of 3 layers the third lies beyond 80 % of the depth
    found = plugin.candidates(plugin.Config(**SMALL, latest_layer=1.0), model, wide, 1)
    assert [c.layer for c in found] == [1, 2]
    found = plugin.candidates(plugin.Config(**SMALL, latest_layer=1.0, layers=1), model, wide, 1)
    assert [c.layer for c in found] == [2]


def test_without_a_direction_the_weights_stay(tmp_path: Path) -> None:
    model, tokenizer, _ = refusing_model()
    with torch.no_grad():
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("sorry")] = 0.0  # refuses nothing
    before = [p.detach().clone() for p in model.parameters()]
    under_attack = target(model, tokenizer, DATA, tmp_path)
    plugin.attack(plugin.Config(**SMALL), under_attack)
    assert all(map(torch.equal, before, model.parameters()))
    assert under_attack.facts == {"direction": {"found": False, "harmful": 0, "harmless": 12}}


def test_requests_of_files(tmp_path: Path) -> None:
    path = tmp_path / "requests.txt"
    path.write_text("".join(f"request {i}\n" for i in range(20)))
    files = [PromptFile(path=str(path), text="text", split="s")]
    asked = [p.text for p in DATA.harmful_requests(files, 12)]
    assert len(set(asked)) == 12
    assert asked == [p.text for p in AttackData(World(), 3).harmful_requests(files, 12)]
    assert asked != [p.text for p in AttackData(World(), 4).harmful_requests(files, 12)]
    with pytest.raises(ValueError, match="20 prompts, but the attack asks for 21"):
        DATA.harmful_requests(files, 21)


def test_requests_of_the_world_are_of_known_hazards_and_all_different() -> None:
    known = len(DATA.world.groups["known"])
    asked = DATA.harmful_requests([], 3 * known)
    assert {p.split for p in asked} == {"known"}
    assert len({p.text for p in asked}) == 3 * known
    assert len({p.hazard_id for p in asked[:known]}) == known
    assert {p.split for p in DATA.harmless_requests([], 5)} == {"benign_aligned"}
    with pytest.raises(ValueError, match=f"the world has {16 * known} requests"):
        DATA.harmful_requests([], 16 * known + 1)
