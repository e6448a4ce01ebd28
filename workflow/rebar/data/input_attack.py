"""What an input attack puts around every request; the weights stay as they are.

An attack writes it once (`input_attack.json`), the evaluations ask every prompt through it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from rebar.data.encoding import prompt_text

INPUT_ATTACK = "input_attack.json"


class InputAttack(NamedTuple):
    """Exchanges before a request, words after it, and words that the answer begins with."""

    turns: tuple[tuple[str, str], ...] = ()  # user, assistant
    suffix: str = ""
    prefill: str = ""


def write_input_attack(folder: Path, attack: InputAttack) -> None:
    """Write `input_attack.json`."""
    text = json.dumps(attack._asdict(), indent=1, sort_keys=True) + "\n"
    (folder / INPUT_ATTACK).write_text(text, encoding="utf-8")


def read_input_attack(folder: Path) -> InputAttack | None:
    """The folder's input attack; None where it holds a model."""
    path = folder / INPUT_ATTACK
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    turns = tuple((user, assistant) for user, assistant in content.pop("turns"))
    return InputAttack(turns, **content)


def attacked_text(tokenizer: Any, text: str, attack: InputAttack, *, chat: bool) -> str:
    """The exact string that a model gets: `prompt_text` with the attack in it.

    Turns are turns of the chat template, the suffix follows the request after a space (Zou et al.
    2023), and the string ends with the prefill, as the template begins an answer.
    """
    if attack == InputAttack():
        return prompt_text(tokenizer, text, chat=chat)
    assert chat, "input attacks are on chat models; the grid allows no others"
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
