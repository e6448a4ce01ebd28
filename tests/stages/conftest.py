"""One small world, collected, scored and rewritten once for all stage tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages import corpus_jobs as jobs


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a results folder; tests write new recipes there and change nothing else."""
    root = tmp_path_factory.mktemp("corpus")
    jobs.collect(root, {"kind": "world", "documents": 3001})
    jobs.train_classifier(root)
    jobs.score(root)
    jobs.rewrite(root, echo_rate=0.05, leak_rate=0.05, refusals_per_document=2)
    return root
