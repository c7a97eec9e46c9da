"""Options by which several commands select recorded data."""

import datetime
from dataclasses import dataclass

from protos.hds import v1


@dataclass(frozen=True)
class Data:
    """Which recorded data."""

    sessions: tuple[str, ...] = ()
    """Only these sessions."""
    tags: tuple[str, ...] = ()
    """Only sessions with one of these tags."""
    plants: tuple[str, ...] = ()
    """Only sessions of these plants, by the names that 'hds-trainer experience' shows."""
    policies: tuple[str, ...] = ()
    """Only episodes in which one of these policies acted: versions, their first digits, or labels."""
    since: str = ""
    """Only sessions begun at this time or later, e.g. 2026-11-25 or 2026-11-25T08:30, local time."""
    until: str = ""
    """Only sessions begun before this time."""

    def selection(self, task: str = "") -> v1.Selection:
        """Return the message.

        Raises:
            ValueError: naming the time that can't be read.
        """
        return v1.Selection(
            task=task,
            sessions=self.sessions,
            tags=self.tags,
            plants=self.plants,
            policies=self.policies,
            since_unix_ns=_unix_ns("since", self.since),
            until_unix_ns=_unix_ns("until", self.until),
        )


def _unix_ns(name: str, text: str) -> int:
    if not text:
        return 0
    try:
        return int(datetime.datetime.fromisoformat(text).timestamp() * 1e9)
    except ValueError as error:
        raise ValueError(
            f"--data.{name} is {text!r}; write a time as 2026-11-25 or 2026-11-25T08:30"
        ) from error
