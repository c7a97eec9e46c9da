"""Output of a run: text on standard error, or JSON events on standard output."""

import contextlib
import json
import re
import sys
import threading

from protos.operation.log import RepeatLimit
from protos.operation.text import printable_lines


class Events:
    """Writes messages and events; thread-safe."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._limit = RepeatLimit()

    def say(self, message: str) -> None:
        """Write a message, without control characters and with limited repetition.

        A closed terminal is ignored.
        """
        message = printable_lines(message)
        if not self._limit.take(re.sub(r"\d+", "#", message)):
            return
        with contextlib.suppress(OSError):
            if self._as_json:
                self.emit("message", text=message)
            else:
                print(message, file=sys.stderr, flush=True)

    def emit(self, event: str, **fields: object) -> None:
        """Write an event in JSON mode.

        An event that cannot be written, for example to a full disk, is dropped with a message on standard
        error.

        Raises:
            BrokenPipeError: the reading program has ended.
        """
        if not self._as_json:
            return
        try:
            with self._lock:  # one event per line
                print(json.dumps({"event": event, **fields}), flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._report_failure(error)

    def _report_failure(self, error: OSError) -> None:
        if self._limit.take("an event could not be written"):
            with contextlib.suppress(OSError):
                print(f"hds-real-env: an event could not be written: {error}", file=sys.stderr, flush=True)
