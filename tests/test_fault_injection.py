import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings
from real_env.fallback import FALLBACKS
from real_env.fault_injection import Faults, FaultyPlant
from real_env.plant import PlantSpec, Reading
from tests.support.driving import drive_episode
from tests.support.programs import run


class Counter:
    """Its first state counts its ticks, the second adds up its commands."""

    def __init__(self) -> None:
        self.spec = PlantSpec("counter", ("ticks", "pushed"), ("push",), 0.04, {})
        self.commands: list[float] = []
        self._x = np.zeros(2, np.float32)

    def reset(self) -> Reading:
        self._x = np.zeros(2, np.float32)
        return Reading(self._x, False)

    def exchange(self, command: np.ndarray) -> Reading:
        self.commands.append(float(command[0]))
        self._x = self._x + np.array([1.0, command[0]], np.float32)
        return Reading(self._x, bool(self._x[1] > 5.0))

    def close(self) -> None:
        self.commands.append(0.0)


def told(faults: Faults, commands: list[float], seed: int = 0) -> tuple[list[float], np.ndarray, list[bool]]:
    """Return what reached the plant, what it told [T + 1, 2], and whether it said that it terminated."""
    counter = Counter()
    plant = FaultyPlant(counter, faults, seed)
    readings = [plant.reset(), *(plant.exchange(np.array([u], np.float32)) for u in commands)]
    return counter.commands, np.stack([r.x for r in readings]), [r.terminated for r in readings]


PUSHES = [0.5, -0.05, 0.9, 0.0, 1.0, 0.2]


def test_without_faults_nothing_is_changed() -> None:
    applied, x, _ = told(Faults(), PUSHES)
    np.testing.assert_allclose(applied, PUSHES, rtol=1e-6)
    np.testing.assert_array_equal(x[:, 0], np.arange(7))
    assert not Faults().any()


def test_commands_act_late_and_small_ones_not_at_all() -> None:
    applied, _, _ = told(Faults(action_delay=2, dead_band=0.2), PUSHES)
    np.testing.assert_allclose(applied, [0.0, 0.0, 0.5, 0.0, 0.9, 0.0], rtol=1e-6)


def test_readings_are_old_but_leaving_the_safe_set_is_told_at_once() -> None:
    _, x, terminated = told(Faults(sensor_delay=3), [1.0] * 8)
    np.testing.assert_array_equal(x[:, 0], [0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert terminated == [False] * 6 + [True] * 3


def test_noise_has_the_deviation_asked_for_in_each_state() -> None:
    _, x, _ = told(Faults(noise=(0.1, 2.0)), [0.0] * 4000)
    error = x - np.stack([np.arange(4001), np.zeros(4001)], axis=1)
    np.testing.assert_allclose(error.std(axis=0), [0.1, 2.0], rtol=0.05)
    assert np.all(np.abs(error.mean(axis=0)) < 0.1)


def test_readings_are_rounded_and_a_quantum_of_zero_is_exact() -> None:
    _, x, _ = told(Faults(quantum=(4.0, 0.0)), [0.3] * 6)
    np.testing.assert_array_equal(x[:, 0] % 4.0, 0.0)
    np.testing.assert_allclose(x[:, 1], 0.3 * np.arange(7), rtol=1e-5)


def test_a_lost_reading_is_the_one_before() -> None:
    _, x, _ = told(Faults(drop_out=0.5), [0.1] * 400)
    ages = np.arange(401) - x[:, 0]
    assert np.all(ages >= 0.0)
    assert 0.4 < np.mean(ages > 0.0) < 0.6
    np.testing.assert_allclose(x[:, 1], 0.1 * x[:, 0], rtol=1e-3, err_msg="all states of a reading are lost")


def test_a_frozen_sensor_stays_so_until_the_next_episode() -> None:
    plant = FaultyPlant(Counter(), Faults(freeze=0.2), seed=1)
    plant.reset()
    ticks = [plant.exchange(np.ones(1, np.float32)).x[0] for _ in range(60)]
    assert ticks[-1] == ticks[-20] < 40
    again = [plant.reset().x[0], plant.exchange(np.ones(1, np.float32)).x[0]]
    assert again[0] == 0.0


def test_the_share_of_readings_that_are_not_numbers_is_the_one_asked_for() -> None:
    _, x, _ = told(Faults(nan=0.3), [0.0] * 2000)
    bad = np.isnan(x)
    assert 0.25 < np.mean(bad.any(axis=1)) < 0.35
    assert bad.sum(axis=1).max() == 1


def test_the_same_seed_gives_the_same_faults() -> None:
    faults = Faults(noise=(0.1,), drop_out=0.2, freeze=0.01, nan=0.1)
    one, two, other = (told(faults, PUSHES * 20, seed)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other, equal_nan=True)


mixes = st.builds(
    Faults,
    action_delay=st.integers(0, 3),
    dead_band=st.floats(0.0, 1.0),
    sensor_delay=st.integers(0, 3),
    noise=st.sampled_from([(), (0.5,), (0.0, 10.0)]),
    quantum=st.sampled_from([(), (0.1,)]),
    drop_out=st.floats(0.0, 1.0),
    freeze=st.floats(0.0, 1.0),
    nan=st.floats(0.0, 0.9),
)


class Echo:
    """Answers with a state, as a policy without judgement would; a state may be anything."""

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        del until_ns
        return v1.Action(sequence=observation.sequence, u=[observation.x[1]], policy_version="v1")


@settings(max_examples=60, deadline=None)
@given(faults=mixes, fallback=st.sampled_from(sorted(FALLBACKS)), seed=st.integers(0, 1000))
def test_whatever_goes_wrong_what_reaches_the_plant_is_finite_and_within_limits(
    faults: Faults, fallback: str, seed: int
) -> None:
    counter, recorded = Counter(), []
    plant = FaultyPlant(counter, faults, seed)
    loop = LoopSettings(200, 0.8, 10_000, FALLBACKS[fallback], max_bad_readings=10_000)
    drive_episode(plant, Echo(), VirtualClock(), loop, recorded.append)
    applied = np.array([row.u_applied for row in recorded])
    assert np.all(np.isfinite(applied))
    assert np.all(np.abs(applied) <= 1.0)
    assert len(counter.commands) == len(recorded)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nan": 1.5}, "nan must be at least 0 and at most 1; got 1.5"),
        ({"action_delay": -1}, "action_delay must be at least 0; got -1"),
        ({"noise": (-0.1,)}, "noise must be finite and at least 0"),
    ],
)
def test_a_fault_out_of_bounds_is_named_with_them(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FaultyPlant(Counter(), Faults(**wrong), 0)


def test_noise_for_another_number_of_states_is_refused() -> None:
    with pytest.raises(ValueError, match="noise takes one number, or 2, one for each state; got 3"):
        FaultyPlant(Counter(), Faults(noise=(0.1, 0.1, 0.1)), 0)


def test_the_command_line_takes_faults_and_names_what_is_wrong() -> None:
    refused = run("real_env", "run", "--collect", "1", "--faults.nan", "2")
    assert refused.returncode == 2
    assert "nan must be at least 0 and at most 1; got 2" in refused.stderr
