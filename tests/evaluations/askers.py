"""Askers of tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rebar.config.decoding import Greedy
from rebar.evaluations._asker import Asker
from tests.model.tiny import recorder, tiny_llama, tiny_tokenizer


def tiny_asker(folder: Path, *, chat: bool = False, world: Any = None) -> Asker:
    """Asks a random model of words `w0` to `w89`."""
    return Asker(
        tiny_llama(vocabulary=96),
        tiny_tokenizer(),
        Greedy(method="greedy"),
        world=world,
        chat=chat,
        seed=1,
        recorder=recorder(folder),
    )


def run(plugin: Any, asker: Asker, judging: Any = None, **values: Any) -> list[dict[str, Any]]:
    """Rows of an evaluation; `judging` is the judge."""
    method = plugin.__name__.rpartition(".")[2]
    config = plugin.Config(method=method, **values)
    judges = [judging] if config.own_judge else []
    return plugin.evaluate(config, asker, *judges)
