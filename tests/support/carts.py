"""A cart that is driven in tests, and its policies."""

from collections.abc import Callable

import numpy as np

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings, Numbering
from real_env.excitation import no_excitation
from real_env.fallback import FALLBACKS
from real_env.limits import Limits
from real_env.plant import PlantSpec, Reading
from real_env.timing import Timing
from tests.support.driving import drive_episode

Answer = Callable[[v1.Observation], v1.Action | Miss]


class Cart:
    """One state that integrates the command; it leaves its safe set beyond `limit`."""

    def __init__(self, limit: float = np.inf) -> None:
        self.spec = PlantSpec("cart", ("x [m]", "v [m/s]"), ("push",), 0.04, {})
        self.limit = limit
        self.commands: list[float] = []
        self._x = np.zeros(2, np.float32)

    def reset(self) -> Reading:
        return Reading(self._x, False)

    def exchange(self, command: np.ndarray) -> Reading:
        self.commands.append(float(command[0]))
        self._x = self._x + np.array([0.04, 1.0], np.float32) * command[0]
        return Reading(self._x, bool(abs(self._x[1]) > self.limit))

    def close(self) -> None:
        """Nothing to release."""


class Scripted:
    """Answers by a function; an answer may take virtual time."""

    def __init__(self, clock: VirtualClock, answer: Answer, delay_ns: int = 0) -> None:
        self.clock, self.answer, self.delay_ns = clock, answer, delay_ns
        self.asked_at: list[int] = []

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        self.asked_at.append(self.clock.now_ns())
        if self.delay_ns > until_ns - self.clock.now_ns():
            self.clock.sleep_until(until_ns)
            return Miss("no answer came before the deadline")
        self.clock.sleep_until(self.clock.now_ns() + self.delay_ns)
        return self.answer(observation)


def good(observation: v1.Observation) -> v1.Action:
    return v1.Action(sequence=observation.sequence, u=[0.5], policy_version="v1")


def drive(
    answer: Answer,
    steps: int = 10,
    delay_ns: int = 0,
    plant: Cart | None = None,
    excite: Callable = no_excitation,
    max_misses: int = 100,
    fallback: str = "zero",
    limits: Limits | None = None,
    max_bad_readings: int = 2,
) -> tuple[Timing, list[v1.Transition], Scripted]:
    clock = VirtualClock()
    asker, recorded = Scripted(clock, answer, delay_ns), []
    settings = LoopSettings(steps, 0.8, max_misses, FALLBACKS[fallback], limits or Limits(), max_bad_readings)
    numbering = Numbering(100, 7, v1.PURPOSE_COLLECT, 0)
    cart = plant or Cart()
    timing = drive_episode(cart, asker, clock, settings, recorded.append, numbering=numbering, excite=excite)
    return timing, recorded, asker
