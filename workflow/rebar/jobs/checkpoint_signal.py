"""The checkpoint signal, SIGUSR2: a cluster sends it before it takes a job's time away.

Here it is only noted. Training looks at the note after every step, saves and leaves with `STATUS`;
the same command then goes on where it was. What does not train goes on to its end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again later

_is_told = False


def is_told() -> bool:
    """Whether the signal has come."""
    return _is_told


@contextmanager
def noted() -> Iterator[None]:
    """Note the signal during the block, instead of dying of it; inner blocks share the note.

    Only a main thread may install handlers; in any other the block does nothing.
    """
    global _is_told
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGUSR2) is _note:
        yield
        return
    previous = signal.signal(signal.SIGUSR2, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, previous or signal.SIG_DFL)
        _is_told = False


def _note(number: int, frame: object) -> None:
    global _is_told
    _is_told = True
