"""What a run has to say: words for people on standard error, or JSON on standard output."""

import contextlib
import json
import sys
import threading


class Events:
    """Says things, from any thread."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()

    def say(self, message: str) -> None:
        """Say `message`. A terminal that is gone is no reason to stop."""
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
