"""The emergency stop: a latch on disk, so that a new start of the program does not undo it."""

import time
from pathlib import Path


class StopIsLatched(RuntimeError):
    """A run stopped in an emergency, and nobody has reset it."""


class EmergencyStop:
    """Latched by a file beside the spool; while it is there, no run drives the plant."""

    def __init__(self, spool: Path) -> None:
        self.path = spool.with_name(spool.name + ".stopped")

    def check(self) -> None:
        """Return if the plant may be driven.

        Raises:
            StopIsLatched: with the reason and what resets it.
        """
        if self.path.exists():
            raise StopIsLatched(
                f"the emergency stop is latched ({self.path.read_text().strip()}); "
                "look after the plant, then start once with --reset-stop"
            )

    def latch(self, why: str) -> None:
        """Latch the stop."""
        self.path.write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}: {why}\n")

    def reset(self) -> None:
        """Let the plant be driven again."""
        self.path.unlink(missing_ok=True)
