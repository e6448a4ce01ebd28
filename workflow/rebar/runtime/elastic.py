"""`python -m rebar.runtime.elastic`: torch.distributed.run that ends with its workers' status.

By itself it ends every failure of a worker with a traceback and status 1, also workers that have
saved at the checkpoint signal.
"""

from __future__ import annotations

import signal
import sys

from rebar.jobs import checkpoint_signal


def main(arguments: list[str]) -> None:
    """Run it; SystemExit with `checkpoint_signal.STATUS` if that is how the workers ended."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as run

    try:
        run(arguments)
    except ChildFailedError as error:
        if not _have_saved({failure.exitcode for failure in error.failures.values()}):
            raise
        sys.exit(checkpoint_signal.STATUS)


def _have_saved(statuses: set[int]) -> bool:
    """Whether these are the statuses of workers that saved at the checkpoint signal."""
    # None leaves before the state is saved; torch ends those that then take longer than the first.
    return checkpoint_signal.STATUS in statuses and statuses <= {
        checkpoint_signal.STATUS,
        -signal.SIGTERM,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
