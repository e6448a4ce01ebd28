"""What one item of a job depends on: a model or a probe's rows, made beside others in one job.

A job that runs again skips items whose own settings and code are unchanged. A function a stage, of
the same name: from a job's plain settings and the item's name to the settings that the item uses,
and the names of the plug-ins whose code it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rebar.config.plugins import plugin_settings

SEARCHED_EVALUATIONS = ("asr", "capability")  # keys of a search that name evaluations


class ItemParts(NamedTuple):
    """Settings that an item uses, and the keys of a job's code hashes that it runs."""

    settings: dict[str, Any]
    code: set[str]


def attack(settings: Mapping[str, Any], name: str) -> ItemParts:
    """One attacked model, which does not depend on the arm's other attacks."""
    used = {"world": settings["world"], "attack": settings["attacks"][name]}
    return _with_cost_to_break(ItemParts(used, {f"attacks.{name}"}), settings, name)


def search(settings: Mapping[str, Any], name: str) -> ItemParts:
    """One tuned attack, which does not depend on the arm's other searches."""
    setting = settings["searches"][name]
    asked = {setting[key]: settings["evaluations"][setting[key]] for key in SEARCHED_EVALUATIONS}
    typed = [plugin_settings("evaluations", key, values) for key, values in asked.items()]
    judges = sorted({judge for evaluation in typed for judge in evaluation.judges})
    used = {
        "world": settings["world"],
        "search": setting,
        "attack": settings["attacks"][setting["attack"]],
        "evaluations": asked,
        "judges": {judge: settings["judges"][judge] for judge in judges},
    }
    code = {f"attacks.{setting['attack']}", *_code_of(used)}
    return _with_cost_to_break(ItemParts(used, code), settings, name)


def probe(settings: Mapping[str, Any], name: str) -> ItemParts:
    """One probe's rows, which do not depend on the arm's other probes."""
    setting = settings["probes"][name]
    judge = setting.get("judge")
    judges = {judge: settings["judges"][judge]} if judge else {}
    used = {"world": settings["world"], "probe": setting, "judges": judges}
    return ItemParts(used, {f"probes.{name}", *(f"judges.{judge}" for judge in judges)})


def _with_cost_to_break(parts: ItemParts, settings: Mapping[str, Any], name: str) -> ItemParts:
    """An attack, tuned or not, with what `cost_to_break` asks while it runs, if it does."""
    if name not in settings.get("cost_to_break", {}).get("attacks", ()):
        return parts
    keys = ("cost_to_break", "headline_split", "evaluations", "judges")
    watched = {key: settings[key] for key in keys}
    return ItemParts(parts.settings | watched, parts.code | {"watch", *_code_of(watched)})


def _code_of(settings: Mapping[str, Any]) -> set[str]:
    """Keys of the code of all evaluations and judges in these settings."""
    return {f"{kind}.{name}" for kind in ("evaluations", "judges") for name in settings[kind]}
