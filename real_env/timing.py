"""Timing statistics of ticks: lateness, answer times, and causes of delay."""

from collections import Counter
from dataclasses import dataclass, field

from real_env.percentiles import Percentiles

PLANT, LOOP, NETWORK, CONTROLLER = "the plant", "the loop", "the network", "the controller"
UNKNOWN = "the network or the controller"
MOST_LEFT = 100
"""Ends of episodes that are kept, because a run may last a year."""
OVERRUN_SHARE = 0.1
"""A control step overran if its reading came later than this share of a step after the next tick."""


@dataclass
class Timing:
    """Statistics of the ticks of one or more episodes.

    Attributes:
        steps: number of control steps.
        misses: steps without a valid answer in time, or without a reading.
        overruns: steps that overran.
        bad_readings: steps whose reading was invalid or missing.
        lateness: delay of the start of ticks [ms].
        answers: time from a tick to its answer or deadline [ms].
        late: how often plant, loop, network and controller were late.
        left: limits that ended an episode, of the first 100.
    """

    steps: int = 0
    misses: int = 0
    overruns: int = 0
    bad_readings: int = 0
    lateness: Percentiles = field(default_factory=Percentiles)
    answers: Percentiles = field(default_factory=Percentiles)
    late: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)

    def merge(self, other: "Timing") -> None:
        """Add the statistics of `other`."""
        for name in ("steps", "misses", "overruns", "bad_readings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lateness.merge(other.lateness)
        self.answers.merge(other.answers)
        self.late.update(other.late)
        self.left = (self.left + other.left)[:MOST_LEFT]

    def blame(self) -> str:
        """Return the causes of delay with their counts, the most frequent first; empty if there are none."""
        return ", ".join(f"{who} {count} times" for who, count in self.late.most_common() if count)


@dataclass
class Pace:
    """Attributes the delay of a tick to plant or loop; ticks are `dt_ns` apart."""

    dt_ns: int
    culprit: str = LOOP
    """The cause if the next control step begins late."""

    def overran(self, tick_ns: int, asked_ns: int, returned_ns: int) -> str:
        """Return the cause if the step from `tick_ns` overran, else an empty string.

        The cause is the plant if it was asked for its reading in time, at `asked_ns`, and returned it late.
        """
        end_ns = tick_ns + self.dt_ns
        latest_ns = end_ns + OVERRUN_SHARE * self.dt_ns
        late = returned_ns > latest_ns
        self.culprit = PLANT if late and asked_ns <= latest_ns else LOOP
        return self.culprit if late else ""
