"""Input attacks: text that is put around every request, while the weights stay unchanged.

An attack stage writes `input_attack.json` once; the evaluations put it around every prompt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from rebar.data.encoding import prompt_text

INPUT_ATTACK = "input_attack.json"


class InputWords(NamedTuple):
    """Chat turns before a request, a suffix after it, and a prefill that the answer begins with."""

    turns: tuple[tuple[str, str], ...] = ()  # user, assistant
    suffix: str = ""
    prefill: str = ""


def write_input_attack(folder: Path, attack: InputWords) -> None:
    """Write the attack to `input_attack.json` in the folder."""
    text = json.dumps(attack._asdict(), indent=1, sort_keys=True) + "\n"
    (folder / INPUT_ATTACK).write_text(text, encoding="utf-8")


def read_input_attack(folder: Path) -> InputWords | None:
    """Read the folder's input attack; None if the folder holds a model instead."""
    path = folder / INPUT_ATTACK
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    turns = tuple((user, assistant) for user, assistant in content.pop("turns"))
    return InputWords(turns, **content)


def attacked_text(tokenizer: Any, text: str, attack: InputWords, *, chat: bool) -> str:
    """The exact text given to a model: `prompt_text` with the attack in it.

    The attack's turns become turns of the chat template, the suffix follows the request after a
    space (Zou et al. 2023, arXiv 2307.15043), and the text ends with the prefill, where the answer
    begins.
    """
    if attack == InputWords():
        return prompt_text(tokenizer, text, chat=chat)
    assert chat, "input attacks need a chat model; the grid allows no others"
    said = [turn for exchange in attack.turns for turn in zip(_ROLES, exchange, strict=True)]
    said.append(("user", f"{text} {attack.suffix}" if attack.suffix else text))
    if attack.prefill:
        said.append(("assistant", attack.prefill))
    return tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in said],
        tokenize=False,
        add_generation_prompt=not attack.prefill,
        continue_final_message=bool(attack.prefill),
    )


_ROLES = ("user", "assistant")
