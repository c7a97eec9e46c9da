"""Start the other programs as processes, read what they announce, and end them."""

import collections
import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

END_S = 3.0
ANNOUNCEMENT = "listens on"
SAID = 2
"""How many of a program's last messages tell why it ended, if its log does not."""


class ProcessFailed(RuntimeError):
    """A program ended or fell silent; the message names it and its log."""


@contextlib.contextmanager
def ended_together() -> Iterator[list["Program"]]:
    """Yield a list for programs; whatever is in it at the end, however it comes, is ended."""
    programs: list[Program] = []
    try:
        yield programs
    finally:
        for program in programs:
            program.ask_to_end()
        deadline = time.monotonic() + END_S
        for program in programs:
            program.end(deadline - time.monotonic())


class Program:
    """One program of HDS, `python -m MODULE ARGUMENTS`, with its log in a file.

    Standard output is read line by line; standard error goes to the log.
    """

    def __init__(self, module: str, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        self.name = module
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._file,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: collections.deque[str] = collections.deque(maxlen=SAID)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, timeout: float) -> str:
        """Return the next line of standard output.

        Raises:
            ProcessFailed: the program ended, or says nothing for `timeout` seconds.
        """
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise ProcessFailed(f"{self.name} says nothing for {timeout:g} s; see {self._log}") from None
        if line is None:
            raise self._failure()
        return line

    def check(self) -> None:
        """Check that the program still runs.

        Raises:
            ProcessFailed: it has ended; with what it said last.
        """
        if self.process.poll() is not None:
            self._reader.join(END_S)
            raise self._failure()

    def _failure(self) -> ProcessFailed:
        status = self.process.wait()
        self._file.flush()
        logged = self._log.read_text().strip().splitlines()[-1:]
        why = "; ".join([*self._said, *logged]) or "no message"
        places = f"log: {self._log}, {self._log.with_suffix('.out')}"
        return ProcessFailed(f"{self.name} ended with status {status}: {why} ({places})")

    def address(self, timeout: float) -> str:
        """Return the host:port that a server announces."""
        while ANNOUNCEMENT not in (line := self.line(timeout)):
            pass
        return line.rsplit(" ", 1)[-1]

    def events(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Yield JSON events as they come."""
        while True:
            yield json.loads(self.line(timeout))

    def tell(self, line: str) -> None:
        """Write a line to the program's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask_to_end(self) -> None:
        """Ask the program to end, without waiting."""
        with contextlib.suppress(OSError):
            self.process.terminate()

    def end(self, patience: float = END_S) -> None:
        """Ask the program to end, and make it if it has not after `patience` seconds."""
        self.ask_to_end()
        try:
            self.process.wait(max(patience, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._file.close()

    def _read(self) -> None:
        stream: IO[str] | None = self.process.stdout
        assert stream is not None
        with self._log.with_suffix(".out").open("w") as copy:
            for line in stream:
                copy.write(line)
                copy.flush()
                self._note(line)
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _note(self, line: str) -> None:
        """Remember what an event says in words."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            event = json.loads(line)
            if event["event"] == "message":
                self._said.append(event["text"])
