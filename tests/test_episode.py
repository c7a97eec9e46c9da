"""The timed loop on virtual time, with an asker that answers as a test says."""

from collections.abc import Callable

import numpy as np
import pytest

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings, Numbering, Stopped
from real_env.excitation import Excitation, no_excitation
from real_env.fallback import FALLBACKS
from real_env.limits import Limits
from real_env.plant import PlantSpec, Reading
from real_env.timing import Timing
from tests.driving import drive_episode

DT_NS = 40_000_000
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


def test_every_step_is_recorded_with_its_number_and_the_last_is_truncated() -> None:
    timing, recorded, _ = drive(good)
    assert [row.sequence for row in recorded] == list(range(100, 110))
    assert [row.truncated for row in recorded] == [False] * 9 + [True]
    assert {row.policy_version for row in recorded} == {"v1"}
    assert {row.action_source for row in recorded} == {v1.ACTION_SOURCE_POLICY}
    assert [row.x for row in recorded[1:]] == [row.x_next for row in recorded[:-1]]
    assert (timing.steps, timing.misses, timing.overruns) == (10, 0, 0)


def test_ticks_are_absolute() -> None:
    _, recorded, asker = drive(good, delay_ns=11_000_000)
    assert asker.asked_at == [k * DT_NS for k in range(10)]
    assert [row.t_ns for row in recorded] == [k * DT_NS for k in range(10)]


def test_an_answer_after_the_deadline_is_dropped_and_the_next_tick_keeps_its_time() -> None:
    timing, recorded, asker = drive(good, delay_ns=33_000_000)
    assert timing.misses == 10
    assert all(row.u_applied == [0.0] and not row.u_requested for row in recorded)
    assert asker.asked_at == [k * DT_NS for k in range(10)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda o: v1.Action(sequence=o.sequence - 1, u=[0.5]), "for tick"),
        (lambda o: v1.Action(sequence=o.sequence, u=[np.nan]), "not finite"),
        (lambda o: v1.Action(sequence=o.sequence, u=[1.5]), "beyond"),
        (lambda o: v1.Action(sequence=o.sequence, u=[0.1, 0.2]), "2 actions, not 1"),
        (lambda o: Miss("the controller is not connected"), "not connected"),
    ],
    ids=["another tick", "not finite", "beyond limits", "wrong size", "no connection"],
)
def test_an_unusable_answer_never_reaches_the_plant(answer: Answer, reason: str) -> None:
    cart = Cart()
    _, recorded, _ = drive(answer, plant=cart)
    assert set(cart.commands) == {0.0}
    for row in recorded:
        assert row.action_source == v1.ACTION_SOURCE_FALLBACK
        assert reason in row.reason
        assert not row.u_requested


def test_repeated_misses_latch_a_stop_and_are_all_recorded() -> None:
    recorded: list[v1.Transition] = []
    clock, cart = VirtualClock(), Cart()
    asker = Scripted(clock, lambda o: good(o) if o.sequence < 3 else Miss("gone"))
    settings = LoopSettings(50, 0.8, 4, FALLBACKS["zero"])
    with pytest.raises(Stopped, match="4 consecutive answers were missed; the last: gone"):
        drive_episode(cart, asker, clock, settings, recorded.append)
    assert [row.sequence for row in recorded] == list(range(7))


def test_single_misses_do_not_stop_the_episode() -> None:
    timing, recorded, _ = drive(lambda o: good(o) if o.sequence % 3 else Miss("lost"), steps=30, max_misses=2)
    assert len(recorded) == 30
    assert timing.misses == 10


def test_a_plant_that_leaves_its_safe_set_terminates_and_is_not_truncated() -> None:
    _, recorded, _ = drive(good, steps=50, plant=Cart(limit=2.2))
    assert len(recorded) == 5
    assert recorded[-1].terminated
    assert not recorded[-1].truncated


def test_excitation_changes_what_is_applied_and_not_what_was_requested() -> None:
    _, recorded, _ = drive(good, steps=40, excite=Excitation(0.4, 0.04, 1, seed=1))
    applied = np.array([row.u_applied[0] for row in recorded])
    assert {row.u_requested[0] for row in recorded} == {0.5}
    assert np.all(np.abs(applied) <= 1.0)
    assert np.ptp(applied) > 0.3
    assert np.all(applied[0:5] == applied[0]), "each step is held for 0.2 s"


@pytest.mark.parametrize("name", FALLBACKS)
def test_every_fallback_stays_within_the_limits(name: str) -> None:
    for x in 100.0 * np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32):
        u = FALLBACKS[name](x, np.array([0.9], np.float32))
        assert u.shape == (1,)
        assert np.all(np.abs(u) <= 1.0)


@pytest.mark.parametrize("name", FALLBACKS)
def test_a_reading_that_is_not_finite_never_reaches_the_plant(name: str) -> None:
    class Blind(Cart):
        def exchange(self, command: np.ndarray) -> Reading:
            super().exchange(command)
            return Reading(np.full(2, np.nan, np.float32), False)

    plant = Blind()
    _, recorded, asker = drive(good, plant=plant, fallback=name, max_bad_readings=1000)
    assert plant.commands == [0.5] + 9 * [0.0]
    assert len(asker.asked_at) == 1, "nobody is asked about such a reading"
    assert all("x [m] reads nan; usable is ± 1e+06" in row.reason for row in recorded)


def test_the_damping_fallback_pushes_against_the_velocity() -> None:
    u = FALLBACKS["damping"](np.array([0.0, 0.0, 2.0, -1.0], np.float32), np.zeros(1, np.float32))
    assert u[0] == pytest.approx(-0.2)


def test_an_observation_tells_how_many_ticks_in_a_row_fell_back() -> None:
    told = []

    def answer(observation: v1.Observation) -> v1.Action | Miss:
        told.append(observation.fallbacks)
        return Miss("nothing came") if len(told) - 1 in {2, 3, 5} else good(observation)

    drive(answer, steps=8)
    assert told == [0, 0, 0, 1, 2, 0, 1, 0]
