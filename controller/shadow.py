"""A shadow policy: computed on live observations, logged, never applied.

It runs in a thread and skips observations when it is too slow, so that it never delays the served policy.
Each comparison is a JSON line in `shadow.jsonl` in the state directory, which rotates at 10 MB with three
older files.
"""

import contextlib
import json
import logging
import queue
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

import numpy as np

from controller.cpu_affinity import reset_affinity
from controller.metrics import Metrics
from controller.served_policy import ServedPolicy
from protos.hds import v1
from protos.operation.supervisor import start_supervised_thread

WAITING = 256
FILE_BYTES, OLDER_FILES = 10_000_000, 3
AGAIN_S = 10.0
"""Pause after a failed write [s]."""
LOG = logging.getLogger("controller")


class _File(RotatingFileHandler):
    """Raises when a line cannot be written, instead of printing a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the error again."""
        del record
        raise  # noqa: PLE0704 - called by `emit` while it handles the error


class Shadow:
    """Compares `policy` with the served policy until `close`."""

    def __init__(self, policy: ServedPolicy, directory: Path, metrics: Metrics) -> None:
        self.policy = policy
        self._path = directory / "shadow.jsonl"
        self._file, self._write_at, self._unwritten = self._opened(), 0.0, 0
        self._metrics = metrics
        self._queue: queue.Queue[tuple | None] = queue.Queue(WAITING)
        self._compared, self._skipped, self._sum, self._largest = 0, 0, 0.0, 0.0
        self._ended = threading.Event()
        self._thread = start_supervised_thread("shadow", self._run, self._ended, LOG.error)

    def compare(self, client: str, sequence: int, x: np.ndarray, u: np.ndarray, version: str) -> None:
        """Queue an observation and the action of the served `version`; return at once."""
        if x.shape != (self.policy.input_size,) or u.shape != (self.policy.action_size,):
            self._skipped += 1
            return
        try:
            self._queue.put_nowait((client, sequence, x, u, version))
        except queue.Full:
            self._skipped += 1

    def message(self) -> v1.Shadow:
        """Return the figures of the comparison."""
        return v1.Shadow(
            version=self.policy.version,
            compared=self._compared,
            skipped=self._skipped,
            mean_difference=self._sum / max(1, self._compared),
            largest_difference=self._largest,
            unwritten=self._unwritten,
        )

    def close(self) -> None:
        """Finish the current observation and end the comparison."""
        self._ended.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes the thread
        self._thread.join()
        with contextlib.suppress(OSError):
            self._file.close()

    def _run(self) -> None:
        reset_affinity()
        while (item := self._queue.get()) is not None and not self._ended.is_set():
            client, sequence, x, u, version = item
            shadow = self.policy.act(x[None])[0]
            difference = np.abs(shadow - u)
            self._compared += 1
            self._sum += float(np.mean(difference))
            self._largest = max(self._largest, float(np.max(difference)))
            self._metrics.shadowed(self.policy.version, float(np.max(difference)))
            line = {
                "time": time.time(), "client": client, "sequence": sequence, "x": x.tolist(),
                "version": version, "u": u.tolist(), "shadow": self.policy.version,
                "u_shadow": shadow.tolist(),
            }  # fmt: skip
            self._write(json.dumps(line))

    def _write(self, line: str) -> None:
        """Write a line, or count it as unwritten, so that a full disk stops neither shadow nor log."""
        now = time.monotonic()
        if now < self._write_at:
            self._unwritten += 1
            return
        try:
            self._file.emit(logging.makeLogRecord({"msg": line}))
        except (OSError, ValueError) as error:
            self._unwritten += 1
            self._write_at = now + AGAIN_S
            LOG.error("the shadow's comparisons cannot be written to %s: %s", self._path, error)
            with contextlib.suppress(OSError, ValueError):
                self._file.close()
            self._file = self._opened()

    def _opened(self) -> _File:
        return _File(self._path, maxBytes=FILE_BYTES, backupCount=OLDER_FILES, delay=True)
