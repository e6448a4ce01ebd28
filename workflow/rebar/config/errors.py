"""Turns validation errors into sentences: which key, which value, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Keys that are allowed where an unknown one stands: follow the annotations to its place."""
    for step in location[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is not None and step in fields:
            model = fields[step].annotation
        for _ in range(4):  # unwrap list[...], dict[..., ...], Annotated, X | None
            if hasattr(model, "model_fields"):
                break
            arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None)]
            tagged = {_tag_of(a): a for a in arguments if _tag_of(a)}
            if len(tagged) > 1 and step not in tagged:
                break  # a union: its tag is a later step of the location
            model = tagged.get(step) or (arguments[-1] if arguments else model)
    return sorted(getattr(model, "model_fields", {}))


def _tag_of(model: Any) -> str | None:
    for key in ("kind", "method"):
        field = getattr(model, "model_fields", {}).get(key)
        if field is not None and getattr(field.annotation, "__args__", None):
            return str(field.annotation.__args__[0])
    return None


def _key(location: tuple[Any, ...], values: Any) -> str:
    """The key as written in the file; pydantic adds the tags of union members, which go."""
    parts = []
    for step in location:
        if isinstance(values, Mapping) and step not in values:
            if step in (values.get("kind"), values.get("method")):
                continue
        parts.append(str(step))
        is_there = isinstance(values, list) or (isinstance(values, Mapping) and step in values)
        values = values[step] if is_there else None
    return ".".join(parts)


def sentences(
    error: ValidationError, model: Any, values: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """One sentence for each problem."""
    found = []
    for problem in error.errors(include_url=False):
        location = tuple(problem["loc"])
        key = ".".join(part for part in (prefix, _key(location, values)) if part)
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_at(model, location)) or "no keys"
            found.append(f"{key}: unknown key; allowed: {allowed}")
        elif problem["type"] == "missing":
            found.append(f"{key}: this key is required")
        elif problem["type"] == "value_error":
            message = str(problem.get("ctx", {})["error"])
            found.extend(m if m.startswith(key) else f"{key}: {m}" for m in message.split("\n"))
        else:
            message = problem["msg"].replace("tuple", "list")  # as YAML knows it
            found.append(f"{key}: {message}; got {problem['input']!r}")
    return found
