"""Start of a worker process: lowest priority first, then the imports, which take a second of a processor."""

import os
import signal
from multiprocessing.connection import Connection

NICENESS = 19


def main(connection: Connection) -> None:
    """Work until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    from trainer.jobs.worker import work

    work(connection)
