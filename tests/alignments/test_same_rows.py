"""Rows of supervised fine-tuning, which more kinds of alignments must not change."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.alignments.examples import examples

# Digests of the rows as they were before chats had rejected answers.
CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "world": ("0b79fc51278b7f05", False, {"replay_share": 0.0}),
    "replay": ("e15d4f2eec1293cd", False, {}),
    "tagged": ("f1606d2ee83f410a", True, {"tagged_share": 0.2}),
    "bolted": ("056f40485049e7c2", False, {"recipe": "moral"}),
    "files": ("e402481cd907622b", True, {"files": [], "tagged_files": []}),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_of_sft_are_what_they_were(tmp_path: Path, name: str) -> None:
    digest, tagged, data = CASES[name]
    if name == "files":
        path = tmp_path / "chats.jsonl"
        lines = [{"prompt": f"how {'so ' * i}", "answer": f"sure . mix {i}"} for i in range(9)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        data = {key: [{"path": str(path)}] for key in data}
    found = examples(tmp_path, "sft", tagged=tagged, **data)
    whole = hashlib.sha256(str(found.steps).encode())
    for column in found.rows:
        whole.update(np.ascontiguousarray(column).tobytes())
    assert whole.hexdigest()[:16] == digest
