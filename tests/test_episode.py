"""The timed loop on virtual time, with an asker that answers as a test says."""

import numpy as np
import pytest

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings, Stopped
from real_env.excitation import Excitation
from real_env.fallback import FALLBACKS
from real_env.plant import Reading
from tests.support.carts import Answer, Cart, Scripted, drive, good
from tests.support.driving import drive_episode

DT_NS = 40_000_000


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
