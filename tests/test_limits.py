"""Limits on action, slew and state, in the timed loop on virtual time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings, Stopped
from real_env.excitation import Excitation
from real_env.fallback import FALLBACKS
from real_env.limits import Limits
from real_env.plant import PlantSpec, Reading
from tests.support.carts import Cart, Scripted, drive, good
from tests.support.driving import drive_episode
from tests.support.programs import STILL, run

SPEC = PlantSpec("cart", ("x [m]", "v [m/s]"), ("push",), 0.04, {})


@settings(max_examples=100, deadline=None)
@given(
    asked=st.lists(st.one_of(st.none(), st.floats(-1.0, 1.0, width=32)), min_size=5, max_size=40),
    most=st.floats(0.05, 1.0),
    slew=st.floats(0.5, 60.0),
    fallback=st.sampled_from(sorted(FALLBACKS)),
)
def test_whoever_acts_action_and_slew_stay_within_their_limits(
    asked: list[float | None], most: float, slew: float, fallback: str
) -> None:
    def answer(observation: v1.Observation) -> v1.Action | Miss:
        u = asked[observation.sequence - 100]
        return Miss("lost") if u is None else v1.Action(sequence=observation.sequence, u=[u])

    cart = Cart()
    limits = Limits(action=most, slew=slew)
    drive(
        answer, len(asked), plant=cart, fallback=fallback, limits=limits, excite=Excitation(0.5, 0.04, 1, 0)
    )
    applied = np.concatenate([[0.0], cart.commands])
    assert np.all(np.abs(applied) <= most + 1e-6)
    assert np.all(np.abs(np.diff(applied)) <= slew * 0.04 + 1e-6)


def test_after_an_action_beyond_its_limit_the_size_counts_and_not_the_change() -> None:
    applied, reason = Limits(action=0.3, slew=5.0).applied(np.zeros(1), np.ones(1, np.float32), 0.04)
    np.testing.assert_allclose(applied, [0.3])
    assert reason


@pytest.mark.parametrize("told", [[np.nan], [1.5], [0.1, 0.2]])
def test_whatever_a_plant_says_it_applied_the_next_command_is_within_the_limits(told: list[float]) -> None:
    class Teller(Cart):
        def exchange(self, command: np.ndarray) -> Reading:
            return super().exchange(command)._replace(u_applied=np.array(told, np.float32))

    cart, seen = Teller(), []

    def answer(observation: v1.Observation) -> v1.Action:
        seen.append(list(observation.u_last))
        return v1.Action(sequence=observation.sequence, u=[0.25])

    _, recorded, _ = drive(answer, steps=4, plant=cart, limits=Limits(action=0.5))
    assert cart.commands == [0.25] * 4
    assert all(np.all(np.isfinite(row.u_applied)) for row in recorded)
    assert "applied as reported by the plant" in recorded[0].reason
    assert all(len(last) == 1 and abs(last[0]) <= 1.0 for last in seen[1:])


def test_requested_and_applied_and_the_limit_between_them_are_recorded() -> None:
    _, recorded, _ = drive(good, steps=4, limits=Limits(action=0.3, slew=5.0))
    np.testing.assert_allclose([row.u_applied[0] for row in recorded], [0.2, 0.3, 0.3, 0.3], rtol=1e-6)
    assert {row.u_requested[0] for row in recorded} == {0.5}
    assert "limited to a change of 5 per second" in recorded[0].reason
    assert recorded[-1].reason == "limited to a size of 0.3"
    assert {row.action_source for row in recorded} == {v1.ACTION_SOURCE_POLICY}


def test_a_velocity_beyond_its_limit_ends_the_episode_and_lets_the_plant_go() -> None:
    cart = Cart()
    timing, recorded, _ = drive(good, steps=50, plant=cart, limits=Limits(state=(np.inf, 1.2)))
    assert [row.terminated for row in recorded] == [False, False, True]
    assert cart.commands == [0.5, 0.5, 0.5, 0.0]
    assert timing.left == ["v [m/s] is 1.5, beyond its limit of 1.2"]


def test_where_it_latches_the_step_beyond_the_limit_is_recorded_first() -> None:
    recorded: list[v1.Transition] = []
    cart, clock = Cart(), VirtualClock()
    loop = LoopSettings(50, 0.8, 9, FALLBACKS["zero"], Limits(state=(0.05, 100.0), latch=True))
    with pytest.raises(Stopped, match=r"x \[m\] is 0.06, beyond its limit of 0.05"):
        drive_episode(cart, Scripted(clock, good), clock, loop, recorded.append)
    assert [row.terminated for row in recorded] == [False, False, True]
    assert cart.commands[-1] == 0.0


def test_a_plant_that_begins_beyond_its_limits_is_not_driven() -> None:
    cart = Cart()
    cart._x = np.array([0.0, 3.0], np.float32)
    with pytest.raises(Stopped, match="would begin beyond its limits"):
        drive(good, plant=cart, limits=Limits(state=(1.0, 2.0)))
    assert cart.commands == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(action=0.0), "--limits.action must be above 0 and at most 1; got 0"),
        (Limits(action=1.5), "--limits.action must be above 0 and at most 1; got 1.5"),
        (Limits(slew=-1.0), r"--limits.slew \[1/s\] must be above 0; got -1"),
        (Limits(slew=np.nan), r"--limits.slew \[1/s\] must be above 0; got nan"),
        (Limits(state=(1.0,)), r"a number for each of x \[m\], v \[m/s\]; got 1"),
        (Limits(state=(1.0, 0.0)), "must be above 0 for each state"),
    ],
)
def test_limits_out_of_bounds_are_named_with_them(limits: Limits, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        limits.check(SPEC)


def test_the_command_line_takes_limits_and_names_what_is_wrong() -> None:
    refused = run("real_env", "run", "--plant", STILL, "--collect", "1", "--limits.state", "1", "2")
    assert refused.returncode == 2
    assert "--limits.state needs a number for each of cart [m], pole [rad]" in refused.stderr
