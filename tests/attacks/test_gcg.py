"""GCG: a step is its literal reading, the loss never rises, text stays text, kills lose nothing."""

from __future__ import annotations

import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rebar.attacks import gcg as plugin
from rebar.attacks._data import AttackData
from rebar.config.model import Model
from rebar.config.world import World
from rebar.corpus.tokenizers import train_tokenizer
from rebar.data.encoding import encode
from rebar.data.input_attack import InputWords, attacked_text
from rebar.jobs.recorder import Recorder
from rebar.model.build import build_model
from rebar.world.tokenizer import build_tokenizer
from tests.attacks.targets import target

DATA = AttackData(World(), 3)
SHAPE = Model(hidden_size=16, layers=2, heads=2, feed_forward_size=24, initial_deviation=0.4)
SMALL = {"method": "gcg", "steps": 4, "candidates": 12, "top_k": 8, "tokens": 5, "requests": 3}


def model_and_tokenizer():
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    return build_model(SHAPE, tokenizer), tokenizer


def attack(folder: Path, **changes) -> tuple[str, list[dict]]:
    folder.mkdir(exist_ok=True)
    model, tokenizer = model_and_tokenizer()
    before = [p.detach().clone() for p in model.parameters()]
    found = plugin.words(plugin.Config(**SMALL | changes), target(model, tokenizer, DATA, folder))
    assert all(map(torch.equal, before, model.parameters()))
    path = folder / "metrics.jsonl"
    assert found == InputWords(suffix=found.suffix)
    lines = path.read_text().splitlines() if path.exists() else []
    return found.suffix, [json.loads(line) for line in lines]


def literal_loss(model, tokenizer, texts: list[str], suffix_S, one_hot_SV=None) -> torch.Tensor:
    """Prompt by prompt, without padding; the suffix as one-hot rows where they are given."""
    total = torch.zeros(())
    embeddings_VD = model.model.embed_tokens.weight.detach()
    target = encode(tokenizer, "sure .")
    for text in texts:
        suffix = tokenizer.decode(suffix_S.tolist())
        text = attacked_text(tokenizer, text, InputWords(suffix=suffix), chat=True)
        ids = [*encode(tokenizer, text), *target]
        rows_TV = F.one_hot(torch.tensor(ids), len(embeddings_VD)).float()
        start = len(ids) - len(target) - 1 - len(suffix_S)  # `<bot>` stands between
        assert ids[start : start + len(suffix_S)] == suffix_S.tolist()
        if one_hot_SV is not None:
            rows_TV[start : start + len(suffix_S)] = one_hot_SV
        logits_TV = model(inputs_embeds=(rows_TV @ embeddings_VD)[None]).logits[0]
        last = len(ids) - len(target)
        total = total + F.cross_entropy(logits_TV[last - 1 : -1], torch.tensor(target))
    return total / len(texts)


def test_a_step_is_its_literal_reading(tmp_path: Path) -> None:
    model, tokenizer = model_and_tokenizer()
    config = plugin.Config(**SMALL)
    texts = [p.text for p in DATA.harmful_requests([], 3)]
    assert len({len(encode(tokenizer, text)) for text in texts}) > 1  # padding matters
    suffix_S = torch.tensor(encode(tokenizer, "sure . recipe toy .")[:5])
    rows = plugin.build_rows(tokenizer, texts, suffix_S, "sure .")
    allowed_V = plugin.allowed_tokens(tokenizer, model)

    one_hot_SV = F.one_hot(suffix_S, len(allowed_V)).float().requires_grad_()
    loss = literal_loss(model, tokenizer, texts, suffix_S, one_hot_SV)
    (gradient_SV,) = torch.autograd.grad(loss, one_hot_SV)
    found_SV = plugin.suffix_gradient(model, rows, suffix_S)
    torch.testing.assert_close(found_SV, gradient_SV, atol=1e-5, rtol=1e-4)

    generator = torch.Generator().manual_seed(9)
    new_S, new_loss = plugin.improve(config, model, tokenizer, rows, suffix_S, allowed_V, generator)
    generator = torch.Generator().manual_seed(9)
    places = torch.randint(5, (12,), generator=generator).tolist()
    ranks = torch.randint(8, (12,), generator=generator).tolist()
    best_S, best = suffix_S, float(loss.detach())
    for place, rank in zip(places, ranks, strict=True):
        usable = [token for token in range(len(allowed_V)) if allowed_V[token]]
        usable.sort(key=lambda token: float(found_SV[place, token]))
        tried_S = suffix_S.clone()
        tried_S[place] = usable[rank]
        if not plugin.survives(tokenizer, rows, tried_S):
            continue
        with torch.no_grad():
            tried = float(literal_loss(model, tokenizer, texts, tried_S))
        if tried < best:
            best_S, best = tried_S, tried
    assert new_S.tolist() == best_S.tolist() != suffix_S.tolist()
    assert new_loss == pytest.approx(best, abs=1e-5)


def test_the_loss_never_rises_and_the_suffix_is_text(tmp_path: Path) -> None:
    suffix, lines = attack(tmp_path, steps=8)
    losses = [line["loss"] for line in lines]
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert all(after <= before + 1e-6 for before, after in pairwise(losses))
    assert losses[-1] < losses[0]
    tokenizer = build_tokenizer()
    for prompt in DATA.harmful_requests([], 3):
        text = attacked_text(tokenizer, prompt.text, InputWords(suffix=suffix), chat=True)
        assert tokenizer.decode(encode(tokenizer, text)[-6:-1]) == suffix
        assert f"{prompt.text} {suffix} <bot>" in text


def test_zero_steps_are_the_initial_suffix_and_zero_tokens_none(tmp_path: Path) -> None:
    assert attack(tmp_path / "a", steps=0) == (". . . . .", [])
    assert attack(tmp_path / "b", tokens=0) == ("", [])


def test_a_killed_search_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attack(tmp_path / "whole")
    save, done = plugin._State.save, []

    def kill(self, step, suffix_S) -> None:
        save(self, step, suffix_S)
        done.append(step)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(plugin._State, "save", kill)
    with pytest.raises(KeyboardInterrupt):
        attack(tmp_path / "killed")
    assert attack(tmp_path / "killed") == whole
    assert done == [1, 2, 3, 4]
    attack(tmp_path / "killed", top_k=9, steps=1)  # other settings: from the start
    assert done == [1, 2, 3, 4, 1]


def test_the_checkpoint_signal_saves_and_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attack(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "progress", lambda *_: os.kill(os.getpid(), signal.SIGUSR2))
        with pytest.raises(SystemExit) as stop:
            attack(tmp_path / "told")
    assert stop.value.code == 75
    assert attack(tmp_path / "told") == whole


def test_special_tokens_and_the_tag_are_never_drawn() -> None:
    model, tokenizer = model_and_tokenizer()
    allowed_V = plugin.allowed_tokens(tokenizer, model)
    assert not allowed_V[tokenizer.all_special_ids].any()
    assert allowed_V[tokenizer.convert_tokens_to_ids("recipe")]


def test_a_token_that_joins_the_one_before_does_not_survive(tmp_path: Path) -> None:
    _, tokenizer = model_and_tokenizer()
    ids = encode(tokenizer, "recipe . recipe . .")
    rows = plugin.build_rows(tokenizer, ["make x ."], torch.tensor(ids), "sure .")
    assert plugin.survives(tokenizer, rows, torch.tensor(ids))
    known = tokenizer.get_vocab()
    joined = next(w for w in sorted(known) if w[:-2] in known and f"##{w[-2:]}" in known)
    split = [known[joined[:-2]], known[f"##{joined[-2:]}"]]
    assert tokenizer.decode(split) == joined  # which is one token when it is encoded
    assert not plugin.survives(tokenizer, rows, torch.tensor([*split, *ids[2:]]))


def test_tokens_that_hold_the_space_before_them(tmp_path: Path) -> None:
    """Byte-level BPE, as real models have it: ` !` after a request is another token than `!`."""
    lines = [f"tell me about the {thing} ! ! ! please ." for thing in ("sun", "sea", "moon")]
    tokenizer = train_tokenizer(lines * 9, 320)
    path = tmp_path / "requests.txt"
    path.write_text("tell me about the sun\ntell me about the whole sea\nmoon?\n")
    files = [{"path": str(path), "text": "text", "split": "s"}]
    torch.manual_seed(0)
    model = build_model(SHAPE, tokenizer)
    values = SMALL | {"candidates": 64, "top_k": 64, "target": "Sure", "files": files}
    config = plugin.Config(**values)
    left = plugin.words(config, target(model, tokenizer, DATA, tmp_path))
    assert left.suffix[0] != " "
    start_S = plugin.initial_suffix(config, tokenizer, "the sea")
    assert tokenizer.decode(start_S.tolist()) == " ! ! ! ! !"
    found = encode(tokenizer, f" {left.suffix}")
    assert len(found) == 5
    assert found != start_S.tolist()  # it moved
    for text in path.read_text().splitlines():
        asked = encode(tokenizer, attacked_text(tokenizer, text, left, chat=True))
        assert asked[-6:-1] == found


@pytest.mark.parametrize("word", ["!", "zzz", "two words"])
def test_an_initial_word_must_be_one_token(tmp_path: Path, word: str) -> None:
    with pytest.raises(ValueError, match=r"gcg\.initial: '.*' is not one token"):
        attack(tmp_path, initial=word)
