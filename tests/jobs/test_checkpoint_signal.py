"""The signal is noted inside the block and changes nothing outside."""

from __future__ import annotations

import os
import signal
import threading

from rebar.jobs import checkpoint_signal


def tell() -> None:
    os.kill(os.getpid(), signal.SIGUSR2)


def test_inner_blocks_share_the_note_and_the_handler_comes_back() -> None:
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        tell()
        with checkpoint_signal.note_signal():
            assert not checkpoint_signal.has_come()
            tell()
            with checkpoint_signal.note_signal():
                assert checkpoint_signal.has_come()
            assert checkpoint_signal.has_come()
        assert not checkpoint_signal.has_come()
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_another_thread_installs_nothing() -> None:
    seen = []

    def work() -> None:
        with checkpoint_signal.note_signal():
            seen.append(signal.getsignal(signal.SIGUSR2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGUSR2)]
