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
        with contextlib.suppress(OSError):
            if self._as_json:
                self.emit("message", text=message)
            else:
                print(message, file=sys.stderr, flush=True)

    def emit(self, event: str, **fields: object) -> None:
        """Emit an event; people see only those that `say` words.

        One that cannot be written, as to a file on a full disk, is left out, and standard error told once.

        Raises:
            BrokenPipeError: the program that reads them is gone.
        """
        if not self._as_json:
            return
        try:
            with self._lock:  # a line must stay one line
                print(json.dumps({"event": event, **fields}), flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._told_trouble(error)

    def _told_trouble(self, error: OSError) -> None:
        if self._limit.take("an event could not be written"):
            with contextlib.suppress(OSError):
                print(f"hds-real-env: an event could not be written: {error}", file=sys.stderr, flush=True)
