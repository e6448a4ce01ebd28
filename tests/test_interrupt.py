"""The signal is noted inside the block and changes nothing outside."""

from __future__ import annotations

import os
import signal
import threading

from rebar import interrupt


def tell() -> None:
    os.kill(os.getpid(), signal.SIGUSR2)


def test_inner_blocks_share_the_note_and_the_handler_comes_back() -> None:
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        tell()
        with interrupt.noted():
            assert not interrupt.is_told()
            tell()
            with interrupt.noted():
                assert interrupt.is_told()
            assert interrupt.is_told()
        assert not interrupt.is_told()
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_another_thread_installs_nothing() -> None:
    seen = []

    def work() -> None:
        with interrupt.noted():
            seen.append(signal.getsignal(signal.SIGUSR2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGUSR2)]
