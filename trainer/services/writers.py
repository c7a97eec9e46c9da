"""Allows one writer per session at a time."""

import contextlib
import secrets
from collections.abc import Iterator

from protos.operation.text import shortened
from protos.security.caller import caller


class Writers:
    """The streams that write sessions. Belongs to one event loop."""

    def __init__(self) -> None:
        self._of: dict[str, Stream] = {}

    @contextlib.contextmanager
    def stream(self) -> Iterator["Stream"]:
        """Yield a stream, and release its sessions at the end."""
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

    def reserve(self, session: str, writer: str) -> str:
        """Reserve `session` for this stream; return why not, empty if it is reserved."""
        self.writer = writer or self.writer or secrets.token_hex(8)
        holder = self._of.get(session)
        if holder is self:
            return ""
        if holder is not None and holder.writer != self.writer:
            return (
                f"session {shortened(session, 80)!r} is being written by another program, at {holder.peer}; "
                "try again when that has ended; a broken connection of this program ends within seconds"
            )
        self._of[session] = self  # the previous connection of this writer is broken
        self._sessions.add(session)
        return ""

    def end(self) -> None:
        """Release all sessions."""
        for session in self._sessions:
            if self._of.get(session) is self:
                del self._of[session]
