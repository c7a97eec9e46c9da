"""The log of a service on standard error, without control characters and with limited repetition."""

import logging
import time
from collections.abc import Callable, Hashable
from typing import Literal

from protos.operation.text import printable, printable_lines

MOST, WITHIN_S = 20, 60.0
"""Lines of one kind that are written within a period [s]; further ones are counted."""
KINDS = 500
"""Kinds of lines that are tracked at a time."""
QUIET = ("absl", "jax", "alembic")
"""Libraries of which only warnings are logged."""

Format = Literal["text", "json"]


class RepeatLimit:
    """Limits how often lines of the same kind are written."""

    def __init__(
        self, most: int = MOST, within_s: float = WITHIN_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._within_s, self._now = most, within_s, now
        self._seen: dict[Hashable, tuple[float, int]] = {}
        """By kind: the time of the first line of the period, and the number of lines since."""

    def take(self, kind: Hashable) -> bool:
        """Return whether a line of `kind` is to be written."""
        now = self._now()
        began, count = self._seen.get(kind, (now, 0))
        if now - began > self._within_s:
            began, count = now, 0
        if kind not in self._seen and len(self._seen) >= KINDS:
            del self._seen[next(iter(self._seen))]
        self._seen[kind] = began, count + 1
        return count < self._most

    def over(self) -> list[tuple[Hashable, int]]:
        """Return the kinds whose period is over, with the number of omitted lines if any were omitted."""
        now = self._now()
        ended = [kind for kind, (began, _) in self._seen.items() if now - began > self._within_s]
        counts = [(kind, self._seen.pop(kind)[1] - self._most) for kind in ended]
        return [(kind, left_out) for kind, left_out in counts if left_out > 0]


class Formatter(logging.Formatter):
    """Formats lines of text, with control characters of clients escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback below it."""
        record.message = printable(record.getMessage())
        line = self.formatMessage(_timed(self, record))
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        return line + (f"\n{printable_lines(record.exc_text)}" if record.exc_text else "")


def _timed(formatter: logging.Formatter, record: logging.LogRecord) -> logging.LogRecord:
    record.asctime = formatter.formatTime(record, formatter.datefmt)
    return record


class LimitedHandler(logging.StreamHandler):
    """Writes to standard error, with limited repetition."""

    def __init__(self, limit: RepeatLimit | None = None) -> None:
        super().__init__()
        self._limit = limit or RepeatLimit()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record unless it exceeds the limit, after notes on lines that were omitted earlier."""
        for (name, level, words), left_out in self._limit.over():  # pyright: ignore[reportGeneralTypeIssues]
            message = "%d more lines like %r were left out"
            super().emit(logging.LogRecord(name, level, "", 0, message, (left_out, words), None))
        if self._limit.take((record.name, record.levelno, str(record.msg))):
            super().emit(record)


def configure(form: Format = "text") -> None:
    """Log to standard error, as text or as one JSON object per line."""
    handler = LimitedHandler()
    words = "%(asctime)s %(name)s %(levelname)s %(message)s"
    handler.setFormatter(_json(words) if form == "json" else Formatter(words))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _json(words: str) -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(words)
