"""Phases of a run.

The text form of a phase, for `--phases` and standard input:

    collect 5 seconds
    evaluate 32 episodes
"""

import re
from dataclasses import dataclass

from protos.hds import v1

_FORM = re.compile(r"(collect|evaluate)\s+([0-9]+(?:\.[0-9]+)?)\s+(seconds?|episodes?)")
_PURPOSES = {"collect": v1.PURPOSE_COLLECT, "evaluate": v1.PURPOSE_EVALUATE}


@dataclass(frozen=True)
class Phase:
    """Drive the plant for `seconds` [s] or for `episodes`, whichever is given."""

    purpose: v1.Purpose
    seconds: float | None = None
    episodes: int | None = None

    def __str__(self) -> str:
        """Return the text form that `parse` reads."""
        amount = f"{self.seconds:g} seconds" if self.episodes is None else f"{self.episodes} episodes"
        word = next(word for word, purpose in _PURPOSES.items() if purpose == self.purpose)
        return f"{word} {amount}"


def parse(text: str) -> Phase:
    """Return the phase of a text.

    Raises:
        ValueError: with the form that is required.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None or float(match[2]) <= 0:
        raise ValueError(
            f"{text.strip()!r} is no phase; write 'collect SECONDS seconds' or 'evaluate NUMBER episodes',"
            " with a number above 0"
        )
    purpose, amount = _PURPOSES[match[1]], float(match[2])
    if match[3].startswith("second"):
        return Phase(purpose, seconds=amount)
    if not amount.is_integer():
        raise ValueError(f"{text.strip()!r}: the number of episodes must be whole, got {match[2]}")
    return Phase(purpose, episodes=int(amount))
