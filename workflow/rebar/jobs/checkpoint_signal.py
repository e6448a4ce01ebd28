"""The checkpoint signal, SIGUSR2: a cluster sends it before it takes a job's time away.

The handler only notes it. Training looks at the note after every step, saves a checkpoint and exits
with `STATUS`; the same command then resumes there. A job that does not train runs to its end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again later

_has_come = False


def has_come() -> bool:
    """Whether the signal has come."""
    return _has_come


@contextmanager
def note_signal() -> Iterator[None]:
    """Note the signal during the block, instead of dying of it; inner blocks share the note.

    Only a main thread may install handlers; in any other the block does nothing.
    """
    global _has_come
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGUSR2) is _note:
        yield
        return
    previous = signal.signal(signal.SIGUSR2, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, previous or signal.SIG_DFL)
        _has_come = False


def _note(number: int, frame: object) -> None:
    global _has_come
    _has_come = True
