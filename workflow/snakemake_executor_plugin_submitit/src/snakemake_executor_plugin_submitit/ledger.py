"""The ledger: submissions without a known end, for the driver that follows a killed one.

It is a file of JSON lines to which lines are only appended. An entry is written before a job is
submitted, so that every job in the queue is known here, whenever the driver was killed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LedgerEntry:
    """One job of a submission: a single job, or an element of an array.

    Attributes:
        token: name of the submission, unique over all drivers: `<run>/<number>`.
        index: index of the element in its array; 0 for a single job.
        digests: target -> digest of what the job does, see `names.digests`.
        is_array: whether SLURM's job id contains the index.
    """

    token: str
    index: int
    is_array: bool
    digests: dict[str, str] = field(hash=False)

    @property
    def key(self) -> tuple[str, int]:
        """Identifies the entry."""
        return self.token, self.index


class Ledger:
    """The open entries of a folder, on disk and in memory."""

    def __init__(self, folder: Path) -> None:
        """Read the file; an incomplete last line (of a killed driver) is ignored."""
        self._path = folder / "ledger.jsonl"
        self._lock = threading.Lock()  # one thread submits, another one sees jobs end
        self._open: dict[tuple[str, int], LedgerEntry] = {}
        for line in self._lines():
            record = json.loads(line)
            if "done" in record:
                self._open.pop(tuple(record["done"]), None)
            else:
                entry = LedgerEntry(**record)
                self._open[entry.key] = entry
        self._compact()

    def entries(self) -> list[LedgerEntry]:
        """Entries without a known end, oldest first."""
        return list(self._open.values())

    def add(self, entries: Iterable[LedgerEntry]) -> None:
        """Record jobs that are about to be submitted."""
        added = list(entries)
        self._append([asdict(entry) for entry in added])
        self._open |= {entry.key: entry for entry in added}

    def close(self, entry: LedgerEntry) -> None:
        """Record that a job has ended and is no longer in the queue."""
        if self._open.pop(entry.key, None):
            self._append([{"done": entry.key}])

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1].splitlines()

    def _append(self, records: Iterable[dict[str, object]]) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def _compact(self) -> None:
        """Drop closed entries, so that the file grows with the present run only."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        lines = (json.dumps(asdict(entry)) + "\n" for entry in self._open.values())
        new.write_text("".join(lines), encoding="utf-8")
        new.replace(self._path)
