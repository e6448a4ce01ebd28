"""`python -m rebar.elastic ARGUMENTS`: torch.distributed.run that leaves as its workers did.

By itself it ends every failure of a worker with a traceback and status 1, also workers that have
saved at the checkpoint signal.
"""

from __future__ import annotations

import sys

from rebar import interrupt


def main(arguments: list[str]) -> None:
    """Run it; SystemExit with `interrupt.STATUS` if that is how all workers ended."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as run

    try:
        run(arguments)
    except ChildFailedError as error:
        if {failure.exitcode for failure in error.failures.values()} != {interrupt.STATUS}:
            raise
        sys.exit(interrupt.STATUS)


if __name__ == "__main__":
    main(sys.argv[1:])
