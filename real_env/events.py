"""What a run has to say: words for people on standard error, or JSON on standard output."""

import contextlib
import json
import re
import sys
import threading

from protos.operation.log import RepeatLimit
from protos.operation.text import printable_lines


class Events:
    """Says things, from any thread."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._limit = RepeatLimit()

    def say(self, message: str) -> None:
        """Say `message`, if the like was not said many times within a minute, without what steers a terminal.

        A terminal that is gone is no reason to stop.
        """
        message = printable_lines(message)
        if not self._limit.take(re.sub(r"\d+", "#", message)):
            return
        if self._as_json:
            self.emit("message", text=message)
            return
        with contextlib.suppress(OSError):
            print(message, file=sys.stderr, flush=True)

    def emit(self, event: str, **fields: object) -> None:
        """Emit an event; people see only those that `say` words.

        Raises:
            OSError: the program that reads them is gone.
        """
        if self._as_json:
            with self._lock:  # a line must stay one line
                print(json.dumps({"event": event, **fields}), flush=True)
