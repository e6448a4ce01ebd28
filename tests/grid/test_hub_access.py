"""Before the first job: every id of the Hub is pinned and can be read, or one message lists all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rebar.cli.main import main
from rebar.config.file import Config, parse_config
from rebar.grid.hub_access import check_access, hub_ids
from tests.config.test_file import changed
from tests.loopback_hub import COMMITS, loopback_hub

PIN = "0" * 40


def source(name: str, revision: str | None = PIN) -> dict[str, Any]:
    return {"kind": "hub", "dataset": name, "revision": revision}


def config(*sources: dict[str, Any], **keys: Any) -> Config:
    values = changed("collect.sources", list(sources))
    return parse_config(values | keys, "f.yaml")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with loopback_hub() as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield asked


def test_ids_are_found_wherever_a_config_may_name_one(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    folder.mkdir()
    prompts = {"hub": {"dataset": "a/prompts", "revision": PIN}, "split": "s"}
    values = changed("evaluations.asr.prompts", [prompts])
    values["collect"]["sources"] = [source("a/web"), source(str(folder))]
    values["train_classifier"]["encoder"] = "a/encoder"
    values["train_classifier"]["encoder_revision"] = PIN
    values["rewrite"] = {"backend": "transformers", "model": "a/writer"}
    values["tokenize"] = {"tokenizer": "a/tokens"}
    values["recipes"]["safelm"] = {"initial_model": "package:p/q"}
    found = hub_ids(parse_config(values, "f.yaml"))
    assert [(i.key, i.kind, i.name, i.is_pinned) for i in found] == [
        ("collect.sources.0.dataset", "dataset", "a/web", True),
        ("train_classifier.encoder", "model", "a/encoder", True),
        ("rewrite.model", "model", "a/writer", False),
        ("tokenize.tokenizer", "model", "a/tokens", False),
        ("evaluations.asr.prompts.0.hub.dataset", "dataset", "a/prompts", True),
    ]
    asked = hub_ids(parse_config(values, "f.yaml"), {"score", "evaluate"})
    assert [i.name for i in asked] == ["a/encoder", "a/prompts"]


def test_what_can_be_read_passes_with_one_call_each(hub: list[str]) -> None:
    check_access(config(source("org/open"), rewrite=REWRITE), "f.yaml")
    assert sorted(hub) == [
        "/api/datasets/org/open/auth-check",
        "/api/models/org/lm/auth-check",
    ]


REWRITE = {"backend": "transformers", "model": "org/lm", "revision": PIN}


def test_one_message_lists_all_that_stands_in_the_way(hub: list[str]) -> None:
    settings = config(
        source("org/open", None),
        source("org/gated"),
        source("org/absent"),
        rewrite=REWRITE | {"revision": "main"},
        require_pins=True,
    )
    with pytest.raises(ValueError) as told:
        check_access(settings, "config/f.yaml")
    assert str(told.value).splitlines() == [
        "config/f.yaml: the Hub stands in the way",
        "not pinned (write commits of 40 digits; `python -m rebar pin --configfile config/f.yaml` "
        "finds them):",
        "  collect.sources.0.dataset: org/open",
        "  rewrite.model: org/lm",
        "gated (accept the terms on its page, then `hf auth login`, or set HF_TOKEN):",
        "  collect.sources.1.dataset: https://huggingface.co/datasets/org/gated",
        "not on the Hub, or private (check the name; `hf auth login`, or set HF_TOKEN):",
        "  collect.sources.2.dataset: https://huggingface.co/datasets/org/absent",
    ]
    check_access(settings, "f.yaml", stages={"evaluate"})  # these jobs read none of them


def test_without_require_pins_a_branch_will_do(hub: list[str]) -> None:
    check_access(config(source("org/open", None)), "f.yaml")
    assert hub == ["/api/datasets/org/open/auth-check"]


def test_an_unreachable_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ValueError, match=r"cannot reach http://127\.0\.0\.1:9, .*HF_HUB_OFFLINE=1"):
        check_access(config(source("org/open")), "f.yaml")


def test_offline_the_cache_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / f"datasets--org--open/snapshots/{PIN}").mkdir(parents=True)
    check_access(config(source("org/open")), "f.yaml")
    with pytest.raises(ValueError, match=r"the cache lacks .*\n  coll.*/datasets/org/gated$"):
        check_access(config(source("org/open"), source("org/gated")), "f.yaml")


def test_pin_prints_what_is_to_be_written(
    hub: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = changed("collect.sources", [source("org/gated", None), source("org/open", "main")])
    values["train_classifier"]["encoder"] = "org/absent"
    values["rewrite"] = REWRITE
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump(values))
    main(["pin", "--configfile", str(file)])
    gated, opened, absent, total = capsys.readouterr().out.splitlines()
    assert gated == f"collect.sources.0.revision: {COMMITS['datasets/org/gated']}  # org/gated"
    assert opened == f"collect.sources.1.revision: {COMMITS['datasets/org/open']}  # org/open"
    assert absent.startswith("train_classifier.encoder_revision: unknown: 404 Client Error")
    assert total == f"# 1 of 4 ids are pinned in {file}"
