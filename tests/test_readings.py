"""A reading that is not usable is never computed with: zero is commanded, and the stop latches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings, Stopped
from real_env.fallback import FALLBACKS
from real_env.plant import NoReading, PlantSpec, Reading
from real_env.readings import checked
from tests.support.driving import drive_episode
from tests.support.half import Half

SPEC = PlantSpec("rig", ("q [m]", "p [rad]", "v [m/s]", "w [rad/s]"), ("push",), 0.04, {})
SOUND = np.array([0.1, 3.0, 0.2, -0.3], np.float32)


def with_entry(value: float) -> Any:
    x = SOUND.astype(np.float64)
    x[2] = value
    return x


UNUSABLE: dict[str, Callable[[], Any]] = {
    "-inf": lambda: with_entry(-np.inf),
    "inf": lambda: with_entry(np.inf),
    "NaN": lambda: with_entry(np.nan),
    "1e39": lambda: with_entry(1e39),
    "1e30": lambda: with_entry(1e30),
    "three numbers": SOUND[:3].copy,
    "no numbers": lambda: np.zeros(0),
    "two dimensions": SOUND[None].copy,
    "text": lambda: np.array(["a", "b", "c", "d"]),
    "objects": lambda: np.array([None, 1.0, 2.0, 3.0], object),
    "complex": lambda: SOUND.astype(np.complex64),
    "None": lambda: None,
}


class Rig:
    """Reads `x()` from step `after` on, or raises it."""

    def __init__(
        self, x: Callable[[], Any], after: int = 5, spec: PlantSpec = SPEC, until: int = 10**9
    ) -> None:
        self.spec, self.x, self.after, self.until = spec, x, after, until
        self.commands: list[float] = []
        self.given: Any = None

    def reset(self) -> Any:
        return Reading(SOUND.copy(), False)

    def exchange(self, command: np.ndarray) -> Any:
        self.commands.append(float(command[0]))
        wrong = self.after <= len(self.commands) < self.until
        self.given = self.x() if wrong else SOUND.copy()
        if isinstance(self.given, Exception):
            raise self.given
        return Reading(self.given, False)

    def close(self) -> None:
        self.commands.append(0.0)


class Silent:
    """Never answers, so that the fallback acts."""

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        del observation, until_ns
        return Miss("nothing came")


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize("wrong", UNUSABLE)
@pytest.mark.parametrize("asker", [Half(), Silent()], ids=["answered", "fallback"])
def test_no_command_is_computed_from_a_reading_that_is_not_usable(
    wrong: str, fallback: str, asker: Half | Silent
) -> None:
    rig, rows = Rig(UNUSABLE[wrong]), []
    settings = LoopSettings(20, 0.8, 1000, FALLBACKS[fallback])
    with pytest.raises(Stopped, match="2 consecutive readings were not usable; the last: "):
        drive_episode(rig, asker, VirtualClock(), settings, rows.append)
    assert rig.commands[5:] == [0.0], "zero at once, whatever the fallback, and nothing after the latch"
    assert [row.sequence for row in rows] == list(range(6)), "what came before is stored, and the end"
    assert all(np.all(np.isfinite(row.x)) and len(row.x) == 4 for row in rows[:5])
    assert np.all(np.isnan(rows[-1].x_next))
    assert rows[-1].end == v1.END_CAUSE_BAD_READINGS
    assert rows[-1].reason


def test_a_single_reading_that_is_not_usable_costs_a_step_of_torque_and_no_more() -> None:
    rig, rows = Rig(UNUSABLE["-inf"], after=5, until=6), []
    drive_episode(rig, Half(), VirtualClock(), LoopSettings(10, 0.8, 1000, FALLBACKS["damping"]), rows.append)
    assert rig.commands == [0.5] * 5 + [0.0] + [0.5] * 4
    assert len(rows) == 10
    assert rows[-1].end == v1.END_CAUSE_CLOCK
    assert "v [m/s] reads -inf; usable is ± 1e+06" in rows[4].reason


def test_a_plant_that_gives_its_own_memory_again_is_told_so() -> None:
    kept = SOUND.copy()
    settings = LoopSettings(20, 0.8, 9, FALLBACKS["zero"])
    with pytest.raises(Stopped, match="the same array as before; each reading needs a new one"):
        drive_episode(Rig(lambda: kept), Half(), VirtualClock(), settings, lambda row: None)


def test_the_plants_own_bounds_replace_the_general_ones() -> None:
    spec = PlantSpec("rig", SPEC.state_names, ("push",), 0.04, {}, state_bounds=(1.0, 10.0, 5.0, 30.0))
    assert isinstance(checked(Reading(SOUND.copy(), False), spec), Reading)
    assert checked(Reading(with_entry(5.1), False), spec) == "v [m/s] reads 5.1; usable is ± 5"


def test_a_usable_reading_is_a_copy_in_single_precision() -> None:
    given = SOUND.astype(np.float64)
    reading = checked(Reading(given, np.bool_(True)), SPEC)  # pyright: ignore[reportArgumentType]
    assert isinstance(reading, Reading)
    given[:] = 7.0
    np.testing.assert_array_equal(reading.x, SOUND)
    assert reading.x.dtype == np.float32
    assert reading.terminated is True


@pytest.mark.parametrize("given", [None, 3, "x", Reading(SOUND, None)])  # pyright: ignore[reportArgumentType]
def test_whatever_a_plant_returns_that_is_no_reading_is_told(given: Any) -> None:
    assert isinstance(checked(given, SPEC), str)


def test_a_missing_reading_is_a_miss_and_the_loop_goes_on() -> None:
    rig, rows = Rig(lambda: NoReading("the line stalls"), after=5, until=9), []
    settings = LoopSettings(15, 0.8, 6, FALLBACKS["hold"])
    timing = drive_episode(rig, Half(), VirtualClock(), settings, rows.append)
    assert rig.commands == [0.5] * 5 + [0.0] * 4 + [0.5] * 6
    assert timing.misses == 4
    assert "the line stalls" in rows[5].reason
    rig = Rig(lambda: NoReading("the line stalls"), after=5)
    with pytest.raises(Stopped, match="6 consecutive answers were missed"):
        drive_episode(rig, Half(), VirtualClock(), settings, rows.append)


def drawn(random: np.random.Generator) -> tuple[list[Any], int]:
    """Return what 20 readings are, and how many are sound before the first that is not."""
    kinds = [*UNUSABLE.values(), lambda: NoReading("none"), lambda: ValueError("broken")]
    sound = int(random.integers(0, 15))
    shown = [SOUND.copy() for _ in range(sound)]
    return [*shown, *(kinds[random.integers(len(kinds))]() for _ in range(20 - sound))], sound


def drive_drawn(episodes: int, seed: int) -> int:
    """Drive rigs that read what is drawn; return how many readings were not usable."""
    random, seen = np.random.default_rng(seed), 0
    for _ in range(episodes):
        readings, sound = drawn(random)
        rig = Rig(iter(readings).__next__, after=0)
        fallback = FALLBACKS[sorted(FALLBACKS)[random.integers(3)]]
        asker = [Half(), Silent()][random.integers(2)]
        settings = LoopSettings(20, 0.8, 10**9, fallback, max_bad_readings=int(random.integers(1, 15)))
        rows: list[v1.Transition] = []
        try:
            drive_episode(rig, asker, VirtualClock(), settings, rows.append)
        except Stopped:
            assert rows[-1].end in (v1.END_CAUSE_BAD_READINGS, v1.END_CAUSE_PLANT_LOST)
            assert rows[-1].sequence == len(rows) - 1
        assert set(rig.commands[sound + 1 :]) <= {0.0}, "a command was computed from an unusable reading"
        seen += len(rig.commands) - sound
    return seen


def test_whatever_is_read_nothing_is_computed_from_it() -> None:
    assert drive_drawn(episodes=400, seed=0) > 500


@pytest.mark.slow
def test_a_hundred_thousand_unusable_readings_and_not_one_command_from_them() -> None:
    seen = seed = 0
    while seen < 100_000:
        seed += 1
        seen += drive_drawn(episodes=1000, seed=seed)
