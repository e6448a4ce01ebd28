"""How a job's process starts."""

from __future__ import annotations

import gc
import json

import pytest

from rebar.runtime import run_job


def test_imports_are_not_collected_and_later_garbage_is() -> None:
    before = gc.get_freeze_count()
    try:
        assert run_job._import_lasting("json") is json
        assert gc.get_freeze_count() > before
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_collection_goes_on_after_a_failed_import() -> None:
    with pytest.raises(ModuleNotFoundError):
        run_job._import_lasting("rebar.stages.nosuch")
    assert gc.isenabled()
    gc.unfreeze()
