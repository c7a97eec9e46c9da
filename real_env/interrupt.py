"""Ctrl-C and SIGTERM that work at once, whatever the program is doing."""

import os
import signal
import sys
import threading
from collections.abc import Callable

GRACE_S = 1.5


def run_interruptibly(work: Callable[[threading.Event], int]) -> int:
    """Run `work(stop)` in a thread and return its exit status; a signal sets `stop`.

    Compilers and drivers can hold the interpreter for seconds, so the work does not run in the main
    thread. If it has not returned 1.5 s after the signal, the process ends all the same: everything
    that must not be lost is on disk at any time.
    """
    stop, status = threading.Event(), [1]
    signalled = threading.Event()

    def body() -> None:
        status[0] = work(stop)

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        signalled.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    thread = threading.Thread(target=body, name="work", daemon=True)
    thread.start()
    while thread.is_alive() and not signalled.is_set():
        thread.join(timeout=0.1)
    if signalled.is_set():
        thread.join(timeout=GRACE_S)
        sys.stdout.flush()
        os._exit(status[0] if not thread.is_alive() else 130)
    return status[0]
