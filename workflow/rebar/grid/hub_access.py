"""Ids of the Hugging Face Hub that a config names: are they pinned, and can they be read?

Asked once, before the first job: hours into a run is late to learn that a licence was not accepted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rebar.config.file import Config
from rebar.grid.stages import STAGES

PIN = re.compile(r"[0-9a-f]{40}")
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Keys that may hold an id: what kind of repository it is, and the key of its commit.
_PLACES = {
    "dataset": ("dataset", "revision"),
    "initial_model": ("model", "revision"),
    "model": ("model", "revision"),
    "tokenizer": ("model", "revision"),
    "encoder": ("model", "encoder_revision"),
}
_CALLS_AT_ONCE = 8


class HubId(NamedTuple):
    """A repository of the Hub, where the config names it, and the commit that it is pinned to."""

    key: str
    kind: str  # model or dataset
    name: str
    revision: str | None

    @property
    def revision_key(self) -> str:
        """Where the config names the commit."""
        section, _, last = self.key.rpartition(".")
        return f"{section}.{_PLACES[last][1]}"

    @property
    def page(self) -> str:
        """Where its terms can be accepted."""
        kind = "datasets/" if self.kind == "dataset" else ""
        return f"https://huggingface.co/{kind}{self.name}"

    @property
    def is_pinned(self) -> bool:
        """True if the revision is a commit; a branch or tag can move."""
        return PIN.fullmatch(self.revision or "") is not None


def hub_ids(config: Config, stages: Collection[str] | None = None) -> list[HubId]:
    """Ids in the order of the keys; with `stages`, those that these stages read."""
    found = ids_in(config.model_dump(mode="json"))
    return [i for i in found if stages is None or _readers(i.key) & set(stages)]


def ids_in(value: Any, key: str = "") -> Iterator[HubId]:
    """Ids in plain settings that stand under this key."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from ids_in(item, f"{key}.{index}")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            inner = f"{key}.{name}" if key else name
            kind, revision = _PLACES.get(name, ("", ""))
            if kind and isinstance(item, str) and _is_id(item):
                yield HubId(inner, kind, item, value.get(revision))
            else:
                yield from ids_in(item, inner)


def _is_id(name: str) -> bool:
    """Local folders and files are none; neither is a path that only looks absent from here."""
    is_file = name.endswith(".gguf") or Path(name).exists()
    return _ID.fullmatch(name) is not None and not is_file


def _readers(key: str) -> set[str]:
    """Stages that read what this key names: the section's own, and those that list it."""
    section = key.partition(".")[0]
    return {
        name
        for name, stage in STAGES.items()
        if section in (name, *stage.hub_keys) or key in stage.hub_keys
    }


def check_access(config: Config, file: str, stages: Collection[str] | None = None) -> None:
    """ValueError lists every id that lacks its pin, is gated or is not there, and the remedy."""
    ids = hub_ids(config, stages)
    problems = _missing_pins(ids, file) if config.require_pins else []
    problems += _unreadable(ids)
    if problems:
        raise ValueError(f"{file}: the Hub stands in the way\n" + "\n".join(problems))


def _missing_pins(ids: list[HubId], file: str) -> list[str]:
    unpinned = [f"  {i.key}: {i.name}" for i in ids if not i.is_pinned]
    remedy = f"write commits of 40 digits; `python -m rebar pin --configfile {file}` finds them"
    return [f"not pinned ({remedy}):", *unpinned] if unpinned else []


def _unreadable(ids: list[HubId]) -> list[str]:
    """Lines on the ids that cannot be read, under the reason that they share."""
    from huggingface_hub import is_offline_mode

    first = list({(i.kind, i.name, i.revision): i for i in reversed(ids)}.values())[::-1]
    ask = _in_cache if is_offline_mode() else _on_hub
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        reasons = list(pool.map(ask, first))
    lines = []
    for reason in dict.fromkeys(filter(None, reasons)):
        named = zip(first, reasons, strict=True)
        lines += [f"{reason}:", *(f"  {i.key}: {i.page}" for i, why in named if why == reason)]
    return lines


def _in_cache(hub_id: HubId) -> str | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(
            hub_id.name, repo_type=hub_id.kind, revision=hub_id.revision, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return (
            "HF_HUB_OFFLINE is set and the cache lacks (`hf download ID --revision COMMIT`, for "
            "a dataset with `--repo-type dataset`, brings it)"
        )
    return None


def _on_hub(hub_id: HubId) -> str | None:
    """Why the id cannot be read with this machine's token; None if it can."""
    from httpx2 import HTTPError  # of the Hub's client: how it says that nobody answers
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        _api().auth_check(hub_id.name, repo_type=hub_id.kind)
    except GatedRepoError:
        return "gated (accept the terms on its page, then `hf auth login`, or set HF_TOKEN)"
    except RepositoryNotFoundError:
        return "not on the Hub, or private (check the name; `hf auth login`, or set HF_TOKEN)"
    except HfHubHTTPError as error:
        return f"the Hub answered {error.response.status_code} (try again later)"
    except HTTPError as error:
        remedy = "with all files in its cache, set HF_HUB_OFFLINE=1"
        return f"cannot reach {_api().endpoint}, {type(error).__name__} ({remedy})"
    return None


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def pins(config: Config) -> Iterator[tuple[HubId, str]]:
    """Each id without a pin, with the commit that it is at now, or why there is none."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    commits: dict[tuple[str, str, str | None], str] = {}
    for hub_id in hub_ids(config):
        if hub_id.is_pinned:
            continue
        place = (hub_id.kind, hub_id.name, hub_id.revision)
        if place not in commits:
            try:
                found = _api().repo_info(
                    hub_id.name, repo_type=hub_id.kind, revision=hub_id.revision
                )
                commits[place] = found.sha
            except HfHubHTTPError as error:
                commits[place] = f"unknown: {_first_line(error)}"
            except HTTPError as error:
                raise ValueError(
                    f"cannot reach {_api().endpoint}: {_first_line(error)}; pin from a machine "
                    "with internet"
                ) from error
        yield hub_id, commits[place]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
