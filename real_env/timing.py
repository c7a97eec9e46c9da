"""What happened to the ticks: how late they began, when answers came, and who was late."""

from collections import Counter
from dataclasses import dataclass, field

from real_env.spread import Spread

PLANT, LOOP, NETWORK, CONTROLLER = "the plant", "the loop", "the network", "the controller"
UNKNOWN = "the network or the controller"
MOST_LEFT = 100
"""Reasons why episodes ended that are kept; a run may go on for a year."""
OVERRUN_SHARE = 0.1
"""A control step overran if its reading came later than this share of it after the next tick."""


@dataclass
class Timing:
    """The ticks of one episode or of many.

    Attributes:
        steps: control steps.
        misses: with no usable answer, or no reading.
        overruns: that overran.
        bad_readings: whose reading was not usable, or missing.
        lateness: how late ticks began [ms].
        answers: from a tick to its answer, or to its deadline [ms].
        late: how often each of plant, loop, network and controller was late.
        left: which limit of the state ended an episode, of the first 100 that one ended.
    """

    steps: int = 0
    misses: int = 0
    overruns: int = 0
    bad_readings: int = 0
    lateness: Spread = field(default_factory=Spread)
    answers: Spread = field(default_factory=Spread)
    late: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)

    def include(self, other: "Timing") -> None:
        """Count all that `other` counted."""
        for name in ("steps", "misses", "overruns", "bad_readings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lateness.include(other.lateness)
        self.answers.include(other.answers)
        self.late.update(other.late)
        self.left = (self.left + other.left)[:MOST_LEFT]

    def blame(self) -> str:
        """Return who was late and how often, the most frequent first; empty if nobody was."""
        return ", ".join(f"{who} {count} times" for who, count in self.late.most_common() if count)


@dataclass
class Pace:
    """Who made a tick late, plant or loop, between two ticks `dt_ns` apart."""

    dt_ns: int
    culprit: str = LOOP
    """Who is to blame if the control step that comes begins late."""

    def overran(self, tick_ns: int, asked_ns: int, returned_ns: int) -> str:
        """Return who made the step from `tick_ns` overrun, empty if it did not.

        The plant is to blame if it was asked for its reading in time, at `asked_ns`, and gave it late.
        """
        end_ns = tick_ns + self.dt_ns
        latest_ns = end_ns + OVERRUN_SHARE * self.dt_ns
        late = returned_ns > latest_ns
        self.culprit = PLANT if late and asked_ns <= latest_ns else LOOP
        return self.culprit if late else ""
