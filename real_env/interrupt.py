"""Every way out of a run but SIGKILL leaves the plant without torque."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
GRACE_S = 1.5
"""How long a run may take to end by itself after a signal [s]."""


class WayOut:
    """How a run ends: `stop` asks it to; `let_go`, once it is set, leaves the plant without torque."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.let_go: Callable[[], object] = lambda: None


def run_interruptibly(work: Callable[[WayOut], int]) -> int:
    """Run `work(way_out)` in a thread and return its exit status; a signal sets `way_out.stop`.

    Compilers and drivers can hold the interpreter for seconds, so the work does not run in the main
    thread. If it has not returned 1.5 s after the signal, the plant is let go from here, and the process
    ends: everything that must not be lost is on disk at any time. SIGHUP that was ignored at the start, by
    nohup say, stays ignored.
    """
    way_out, status, signalled = WayOut(), [1], threading.Event()

    def body() -> None:
        status[0] = work(way_out)

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        signalled.set()
        way_out.stop.set()

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
            way_out.let_go()
            thread.join(timeout=0.5)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status[0] if not thread.is_alive() else 130)
    return status[0]
