"""The worker process: takes requests from a pipe, one after the other, and reports back.

It is spawned, never forked, and lives on between jobs, so that what one job compiled serves the next.
It yields the processors to whoever needs them: serving matters more than learning.
"""

import os
import signal
from multiprocessing.connection import Connection

from trainer.jobs.request import Failed, JobRequest

NICENESS = 19


def main(pipe: Connection) -> None:
    """Work until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    try:
        while True:
            pipe.send(_outcome(pipe.recv(), pipe))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _outcome(request: JobRequest, pipe: Connection) -> object:
    """Run one job; what it raises becomes a `Failed`, so that the service can tell."""
    from trainer.checkpoint.manifest import CorruptCheckpoint
    from trainer.jobs.recipe import run
    from trainer.store.database import StoreUnavailable

    try:
        return run(request, pipe.send)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except (ValueError, OSError, CorruptCheckpoint, StoreUnavailable) as error:
        return Failed(str(error))
    except Exception as error:  # a fault of ours: the job fails, the worker and the service live on
        return Failed(f"{type(error).__name__}: {error}")
