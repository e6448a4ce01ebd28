"""`python -m rebar.elastic ARGUMENTS`: torch.distributed.run that leaves as its workers did.

By itself it ends every failure of a worker with a traceback and status 1, also workers that have
saved at the checkpoint signal.
"""

from __future__ import annotations

import signal
import sys

from rebar import interrupt


def main(arguments: list[str]) -> None:
    """Run it; SystemExit with `interrupt.STATUS` if that is how the workers ended."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as run

    try:
        run(arguments)
    except ChildFailedError as error:
        if not _have_saved({failure.exitcode for failure in error.failures.values()}):
            raise
        sys.exit(interrupt.STATUS)


def _have_saved(statuses: set[int]) -> bool:
    """Whether these are the statuses of workers that saved at the checkpoint signal."""
    # None leaves before the state is saved; torch ends those that then take longer than the first.
    return interrupt.STATUS in statuses and statuses <= {interrupt.STATUS, -signal.SIGTERM}


if __name__ == "__main__":
    main(sys.argv[1:])
