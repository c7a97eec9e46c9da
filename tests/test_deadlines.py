"""Whatever goes wrong, no action is applied after its deadline: 3e4 ticks on virtual time, or 1e6."""

import numpy as np
import pytest

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings
from real_env.fallback import FALLBACKS
from real_env.fault_injection import Faults, FaultyPlant
from real_env.limits import Limits
from real_env.plant import Reading
from tests.support.carts import Cart
from tests.support.driving import drive_episode

DT_NS = 40_000_000
EPISODES, MANY, STEPS = 10, 334, 1000


class Timed(Cart):
    """A cart that takes its time, and notes when each command came."""

    def __init__(self, clock: VirtualClock, random: np.random.Generator) -> None:
        super().__init__()
        self.clock, self.random = clock, random
        self.came: list[int] = []

    def exchange(self, command: np.ndarray) -> Reading:
        self.came.append(self.clock.now_ns())
        slow = self.random.uniform() < 0.1
        self.clock.sleep_until(
            self.clock.now_ns() + int(self.random.exponential(DT_NS * (2.0 if slow else 0.1)))
        )
        super().exchange(command)
        self._x = np.clip(self._x, -50.0, 50.0)
        return Reading(self._x, False)


class Erratic:
    """Answers too late, too early, wrongly, or not at all; sometimes well."""

    def __init__(self, clock: VirtualClock, random: np.random.Generator) -> None:
        self.clock, self.random = clock, random

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        del until_ns
        self.clock.sleep_until(self.clock.now_ns() + int(self.random.exponential(0.5 * DT_NS)))
        u = [float(self.random.uniform(-1.0, 1.0))]
        answers = [
            v1.Action(sequence=observation.sequence, u=u, policy_version="v1"),
            v1.Action(sequence=observation.sequence, u=u, policy_version="v1"),
            v1.Action(sequence=max(0, observation.sequence - 1), u=u),
            v1.Action(sequence=observation.sequence, u=[np.nan]),
            v1.Action(sequence=observation.sequence, u=[3.0 * u[0] + 2.0]),
            v1.Action(sequence=observation.sequence, u=u * 2),
            Miss("no answer came before the deadline"),
        ]
        return answers[self.random.integers(len(answers))]


def drawn(random: np.random.Generator) -> Faults:
    return Faults(
        action_delay=int(random.integers(3)),
        dead_band=float(random.uniform(0.0, 0.3)),
        sensor_delay=int(random.integers(3)),
        noise=(float(random.uniform(0.0, 1.0)),),
        quantum=(float(random.uniform(0.0, 0.1)),),
        drop_out=float(random.uniform(0.0, 0.5)),
        freeze=float(random.uniform(0.0, 0.05)),
        nan=float(random.uniform(0.0, 0.3)),
    )


@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_no_action_is_applied_after_its_deadline(share: float) -> None:
    assert drive_ticks(share, EPISODES) == EPISODES * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_in_a_million_ticks_no_action_is_applied_after_its_deadline(share: float) -> None:
    assert drive_ticks(share, MANY) >= 1_000_000 // 3


def drive_ticks(share: float, episodes: int) -> int:
    """Drive episodes with faults of every kind; return how many ticks, none with an action too late."""
    ticks, late, acted = 0, 0, 0
    for seed in range(episodes):
        random, clock = np.random.default_rng(seed), VirtualClock()
        cart = Timed(clock, random)
        plant = FaultyPlant(cart, drawn(random), seed)
        rows: list[v1.Transition] = []
        fallback, limits = FALLBACKS[sorted(FALLBACKS)[seed % 3]], Limits(action=0.9, slew=20.0)
        loop = LoopSettings(STEPS, share, 10**9, fallback, limits, max_bad_readings=10**9)
        drive_episode(plant, Erratic(clock, random), clock, loop, rows.append)
        assert len(rows) == len(cart.came) == STEPS
        t_ns = np.array([row.t_ns for row in rows])
        from_policy = np.array([row.action_source == v1.ACTION_SOURCE_POLICY for row in rows])
        late += np.count_nonzero(from_policy & (np.array(cart.came) > t_ns + round(share * DT_NS)))
        acted += np.count_nonzero(from_policy)
        assert max(abs(u) for row in rows for u in row.u_applied) <= np.float32(0.9)
        assert np.array_equal(t_ns, DT_NS * np.arange(STEPS))
        ticks += len(rows)
    assert acted > ticks // 50, "some answers come in time"
    assert late == 0
    return ticks
