"""Plug-ins by name: the folder listing is the registry, `Config` of a plug-in types its settings.

This is the only place where the settings import plug-ins.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rebar.config.base import Settings
from rebar.config.errors import sentences
from rebar.config.safeguard import Safeguard

PACKAGE = Path(__file__).parents[1]
PLUGIN_FOLDERS = ("alignments", "attacks", "evaluations", "judges", "probes")
SAFEGUARDS = "safeguards"  # a named setting here has several plug-ins, its parts


def validate_each(settings: Any, validated: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Validate all named settings; ValueError lists the problems of all of them."""
    if not isinstance(settings, Mapping):
        raise ValueError(
            f"expected a mapping of names to settings, not {settings!r}; leave the key out if "
            "there are none"
        )
    done, problems = {}, []
    for name, values in dict(settings).items():
        try:
            done[name] = validated(name, values)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return done


def plugin_names(folder: str) -> tuple[str, ...]:
    """Names of the plug-ins of a folder: the listing is the registry."""
    path = PACKAGE / folder
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(path)]) if m.name[0] != "_"))


def plugin_module(folder: str, method: str) -> Any:
    """Import the plug-in's module; ValueError lists the known names."""
    names = plugin_names(folder)
    if method not in names:
        raise ValueError(f"method '{method}' is unknown; known: {', '.join(names)}")
    return importlib.import_module(f"rebar.{folder}.{method}")


def plugin_settings(folder: str, name: str, values: Any) -> Any:
    """Validate one named setting by its plug-in's Config."""
    if isinstance(values, Settings):
        return values
    if not isinstance(values, Mapping) or not isinstance(values.get("method"), str):
        known = ", ".join(plugin_names(folder))
        raise ValueError(f"{folder}.{name} needs 'method:', one of {known}")
    try:
        config_class = plugin_module(folder, values["method"]).Config
    except ValueError as error:
        raise ValueError(f"{folder}.{name}: {error}") from error
    try:
        return config_class(**values)
    except ValidationError as error:
        problems = sentences(error, config_class, values, f"{folder}.{name}")
        raise ValueError("\n".join(problems)) from error


def safeguard_settings(name: str, values: Any) -> Safeguard:
    """Validate one safeguard, each of its parts by its plug-in's Config."""
    if isinstance(values, Safeguard):
        return values
    place = f"{SAFEGUARDS}.{name}"
    if not isinstance(values, Mapping):
        raise ValueError(f"{place} is a mapping with acts_in: and parts:, not {values!r}")
    parts = values.get("parts")
    if isinstance(parts, list):
        numbered = {f"{name}.parts.{index}": part for index, part in enumerate(parts)}
        typed = validate_each(numbered, partial(plugin_settings, SAFEGUARDS))
        values = {**values, "parts": list(typed.values())}
    try:
        return Safeguard(**values)
    except ValidationError as error:
        raise ValueError("\n".join(sentences(error, Safeguard, values, place))) from error
