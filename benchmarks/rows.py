"""Make and print a row of results/bench.json."""

from __future__ import annotations

from typing import Any


def make_row(
    name: str, ours: float | None, peer: float | None, unit: str, note: str
) -> dict[str, Any]:
    """Our number beside a peer's or a limit; None if it was not measured or has no peer."""
    return {
        "name": name,
        "ours": None if ours is None else round(ours, 3),
        "peer": None if peer is None else round(peer, 3),
        "ratio": round(ours / peer, 3) if ours is not None and peer else None,
        "unit": unit,
        "note": note,
    }


def format_row(values: dict[str, Any]) -> str:
    """Format a row for the terminal."""
    if values["ours"] is None:
        return f"{values['name']}: {values['note']}"
    text = f"{values['name']}: {values['ours']} {values['unit']}"
    return text if values["peer"] is None else f"{text} v {values['peer']}, x{values['ratio']}"
