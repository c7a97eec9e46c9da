"""Shutdown of a run by signals; all but SIGKILL leave the plant without torque."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
GRACE_S = 1.5
"""Time for a run to end by itself after a signal [s]."""


class Shutdown:
    """`stop` asks a run to end; `release` leaves the plant without torque."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.release: Callable[[], object] = lambda: None


def run_with_shutdown(work: Callable[[Shutdown], int]) -> int:
    """Run `work(shutdown)` in a thread and return its exit status; a signal sets `shutdown.stop`.

    The work does not run in the main thread, because compilers and drivers can block it for seconds. If the
    work has not returned 1.5 s after the signal, the plant is released from the main thread and the process
    ends; all data is on disk at any time. SIGHUP stays ignored if it was, for example by nohup.
    """
    shutdown, status, signalled = Shutdown(), [1], threading.Event()

    def body() -> None:
        status[0] = work(shutdown)

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        signalled.set()
        shutdown.stop.set()

    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, on_signal)
    thread = threading.Thread(target=body, name="work", daemon=True)
    thread.start()
    while thread.is_alive() and not signalled.is_set():
        thread.join(timeout=0.1)
    if signalled.is_set():
        thread.join(timeout=GRACE_S)
        if thread.is_alive():
            shutdown.release()
            thread.join(timeout=0.5)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status[0] if not thread.is_alive() else 130)
    return status[0]
