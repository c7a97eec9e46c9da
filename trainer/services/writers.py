"""One writer for each session at a time."""

import contextlib
import secrets
from collections.abc import Iterator

from protos.operation.text import shortened
from protos.security.caller import caller


class Writers:
    """Which stream writes which sessions. Lives in one event loop."""

    def __init__(self) -> None:
        self._of: dict[str, Stream] = {}

    @contextlib.contextmanager
    def stream(self) -> Iterator["Stream"]:
        """Yield a stream, whose sessions are free again when it ends."""
        stream = Stream(self._of)
        try:
            yield stream
        finally:
            stream.end()


class Stream:
    """One `Append` call."""

    def __init__(self, of: dict[str, "Stream"]) -> None:
        self._of = of
        self.peer = caller().peer
        self._sessions: set[str] = set()
        self.writer = ""

    def take(self, session: str, writer: str) -> str:
        """Write `session` from now on; return why not, empty if it does."""
        self.writer = writer or self.writer or secrets.token_hex(8)
        holder = self._of.get(session)
        if holder is self:
            return ""
        if holder is not None and holder.writer != self.writer:
            return (
                f"session {shortened(session, 80)!r} is being written by another program, at {holder.peer}; "
                "when it has ended, or if it was this one's broken connection, this is let through"
            )
        self._of[session] = self  # of the same writer: the connection before is broken, or over
        self._sessions.add(session)
        return ""

    def end(self) -> None:
        """Let others write."""
        for session in self._sessions:
            if self._of.get(session) is self:
                del self._of[session]
