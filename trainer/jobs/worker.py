"""The worker process: takes requests from a pipe, one after the other, and reports back.

It is spawned, never forked, and lives on between jobs, so that compiled functions are shared. It has the
lowest priority, since serving matters more than learning. It sends a message every two seconds, so that a
frozen one is noticed.
"""

import threading
from multiprocessing.connection import Connection

from protos.operation import log
from trainer.jobs.request import Alive, Failed, JobRequest

ALIVE_S = 2.0


class _Pipe:
    """The pipe to the service; several threads may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        with self._lock:
            self._connection.send(message)


def work(connection: Connection) -> None:
    """Work until the pipe closes."""
    log.configure()
    pipe = _Pipe(connection)
    threading.Thread(target=_say_alive, args=(pipe,), name="alive", daemon=True).start()
    try:
        while True:
            pipe.send(_outcome(connection.recv(), pipe))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _say_alive(pipe: _Pipe) -> None:
    never = threading.Event()
    while not never.wait(ALIVE_S):
        try:
            pipe.send(Alive())
        except OSError:
            return


def _outcome(request: JobRequest, pipe: _Pipe) -> object:
    """Run one job; an exception becomes a `Failed`."""
    from trainer.checkpoint.manifest import CorruptCheckpoint
    from trainer.jobs.recipe import run
    from trainer.store.database import StoreUnavailable

    try:
        return run(request, pipe.send)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except (ValueError, OSError, CorruptCheckpoint, StoreUnavailable) as error:
        return Failed(str(error))
    except Exception as error:  # a defect: the job fails, the worker and the service live on
        return Failed(f"{type(error).__name__}: {error}")
