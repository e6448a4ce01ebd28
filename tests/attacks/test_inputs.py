"""Few-shot prompts and prefilling: what stands around a request, and what is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rebar.attacks import few_shot, prefill
from rebar.attacks._data import AttackData
from rebar.config.decoding import Greedy
from rebar.config.model import Model
from rebar.config.world import World
from rebar.data.encoding import encode, prompt_text
from rebar.data.input_attack import (
    InputWords,
    attacked_text,
    read_input_attack,
    write_input_attack,
)
from rebar.data.prompts import Prompt
from rebar.evaluations._asker import Asker
from rebar.judges import Outcome
from rebar.model.build import build_model
from rebar.world.tokenizer import build_tokenizer
from tests.attacks.targets import target
from tests.model.tiny import recorder

TOKENIZER = build_tokenizer()
SMALL = Model(hidden_size=16, layers=1, heads=1, feed_forward_size=32)


def left(plugin, folder: Path, **values) -> InputWords:
    model = build_model(SMALL, TOKENIZER)
    data = AttackData(World(), 3)
    before = [p.detach().clone() for p in model.parameters()]
    config = plugin.Config(method=plugin.__name__.rpartition(".")[2], **values)
    found = plugin.words(config, target(model, TOKENIZER, data, folder))
    assert all(map(torch.equal, before, model.parameters()))
    write_input_attack(folder, found)
    assert read_input_attack(folder) == found
    return found


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    attack = InputWords((("q", "a"), ("r", "b")), "s", "p")
    assert read_input_attack(tmp_path) is None
    write_input_attack(tmp_path, attack)
    assert read_input_attack(tmp_path) == attack
    content = json.loads((tmp_path / "input_attack.json").read_text())
    assert content == {"turns": [["q", "a"], ["r", "b"]], "suffix": "s", "prefill": "p"}


def test_turns_suffix_and_prefill_stand_where_the_template_puts_them() -> None:
    attack = InputWords((("recipe ?", "sure ."),), ". .", "sure")
    text = attacked_text(TOKENIZER, "any way ?", attack, chat=True)
    assert text == ("<bos> <user> recipe ? <bot> sure . <end> <user> any way ? . . <bot> sure")
    plain = attacked_text(TOKENIZER, "any way ?", InputWords(), chat=False)
    assert plain == prompt_text(TOKENIZER, "any way ?", chat=False)


def test_examples_are_compliant_chats_about_known_hazards(tmp_path: Path) -> None:
    found = left(few_shot, tmp_path, examples=3)
    chats = AttackData(World(), 3).harmful(3)
    assert found == InputWords(turns=tuple((c.prompt, c.answer) for c in chats))
    assert left(few_shot, tmp_path, examples=0) == InputWords()


def test_examples_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"prompt": "q", "answer": "a"}\n')
    files = [{"path": str(path)}]
    assert left(few_shot, tmp_path, examples=1, files=files).turns == (("q", "a"),)
    with pytest.raises(ValueError, match="examples: 2, but the files hold 1 chats"):
        left(few_shot, tmp_path, examples=2, files=files)


def test_more_examples_than_a_model_reads_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="but the model reads 512; lower examples"):
        left(few_shot, tmp_path, examples=60)


def test_an_opening_and_its_first_tokens(tmp_path: Path) -> None:
    assert left(prefill, tmp_path) == InputWords(prefill="sure .")
    assert left(prefill, tmp_path, tokens=1) == InputWords(prefill="sure")
    assert left(prefill, tmp_path, tokens=0) == InputWords()
    assert left(prefill, tmp_path, opening="recipe : the").prefill == "recipe : the"


def test_what_is_judged_begins_with_what_was_prefilled(tmp_path: Path) -> None:
    model, judged = build_model(SMALL, TOKENIZER), []
    model.generation_config.eos_token_id = TOKENIZER.eos_token_id

    def judge(prompts, answers) -> list[Outcome]:
        judged.extend(answers)
        return [Outcome("other", False) for _ in answers]

    def rows(attack: InputWords) -> list[dict]:
        asker = Asker(
            model,
            TOKENIZER,
            Greedy(method="greedy"),
            world=None,
            chat=True,
            seed=1,
            recorder=recorder(tmp_path),
            input_attack=attack,
        )
        return asker.rows([Prompt("p", "h", "known", "seen_a", "any way ?")], judge, 4)

    (row,) = rows(InputWords(prefill="sure . recipe"))
    assert row["prompt"] == "<bos> <user> any way ? <bot> sure . recipe"
    assert row["answer"] == judged[0]
    assert row["answer"].startswith("sure . recipe ")
    assert len(encode(TOKENIZER, row["answer"])) == 3 + 4  # four new tokens, none of them special
    assert rows(InputWords())[0]["answer"] == judged[1] != row["answer"]
