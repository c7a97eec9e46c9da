"""PODS: policy optimisation via differentiable simulation (Mora et al., ICML 2021).

One epoch rolls the policy out, treats the actions as free variables, improves every trajectory, and
regresses the policy on the improved actions at the states of the improved trajectories. Horizons are
short; a terminal value, regressed on TD(λ) targets of the improved trajectories, gives the cost beyond it.

Notation (with those of `trajectory` and `pods_state`)
    N   trajectories per epoch
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.learning.configuration import PODSConfig
from trainer.learning.direction import Direction, FindDirection
from trainer.learning.labels import Labels, MakeTargets, empty_labels, store_batch
from trainer.learning.non_finite import NonFinite, find_non_finite
from trainer.learning.pods_state import Improvement, PODSInfo, PODSState, Schedule
from trainer.learning.regression import Losses, Networks, Regression
from trainer.learning.search import Search
from trainer.learning.starts import Starts
from trainer.learning.trajectory import Objective, Trajectory, at, rollout, weights
from trainer.learning.value import ValueSpec, td_lambda
from trainer.models.model import Model, Theta
from trainer.policy.network import PolicySpec
from trainer.tasks.task import Task

SMALLEST_SCALE = 1e-3
"""Least scale of the value, if all start states are at the goal and nothing fails."""


class _Improved(NamedTuple):
    """One trajectory before and after the improvement, and the last direction."""

    before: Trajectory
    after: Trajectory
    direction: Direction


Improve = Callable[[PODSState, Theta, Schedule, jax.Array], tuple[PODSState, Improvement]]
Regress = Callable[[PODSState, Schedule, jax.Array], tuple[PODSState, Losses]]


def epoch(improve: Improve, regress: Regress) -> Callable[..., tuple[PODSState, PODSInfo]]:
    """Return `step(state, theta, schedule, key)` of the halves of an epoch.

    Each half draws a key of its own from `key` and the number of the epoch, so one key serves a training.
    """

    def step(
        state: PODSState, theta: Theta, schedule: Schedule, key: jax.Array
    ) -> tuple[PODSState, PODSInfo]:
        state, info = improve(state, theta, schedule, key)
        state, losses = regress(state, schedule, key)
        return state, PODSInfo(*info, losses.policy, losses.value)

    return step


@dataclass(frozen=True, eq=False)
class PODS:
    """PODS for `task`: pure functions `init` and `step`. Search, starts and targets are given.

    Attributes:
        task: cost and termination.
        model: dynamics of one sample, given its parameters theta.
        policy, value: shapes of the networks.
        starts: where trajectories begin.
        find_direction: first order or Gauss-Newton.
        search: line search or annealing.
        make_targets: regression targets along the improved trajectories, or also around them.
        config: sizes and rates.
    """

    task: Task
    model: Model
    policy: PolicySpec
    value: ValueSpec
    starts: Starts
    find_direction: FindDirection
    search: Search
    make_targets: MakeTargets
    config: PODSConfig

    def init(self, key: jax.Array) -> PODSState:
        """Draw networks, start states, and the time left in each episode."""
        key_policy, key_value, key_start, key_left = jax.random.split(key, 4)
        batch, kept = self.config.batch, self.config.kept_batches
        x, steps = self.starts(batch, key_start)
        networks = Networks(self.policy.init(key_policy), self.value.init(key_value, self._typical_cost(x)))
        left = 1 + (jax.random.uniform(key_left, (batch,)) * steps).astype(jnp.int32)
        n, m = x.shape[1], self.policy.action_size
        return PODSState(
            policy=networks.policy,
            average=networks.policy,
            value=networks.value,
            target_value=networks.value,
            optimiser=self._regression.init(networks),
            actions=empty_labels(kept, batch * self._targets_length(n, m), n, m),
            costs=empty_labels(kept, batch * self.config.horizon, n, 1),
            x=x,
            left=left,
            epoch=jnp.zeros((), jnp.int32),
        )

    def step(
        self, state: PODSState, theta: Theta, schedule: Schedule, key: jax.Array
    ) -> tuple[PODSState, PODSInfo]:
        """Run one epoch with the model parameters `theta` (leading axis N); epochs may share the `key`."""
        return epoch(self.improve, self.regress)(state, theta, schedule, key)

    def improve(
        self, state: PODSState, theta: Theta, schedule: Schedule, key: jax.Array
    ) -> tuple[PODSState, Improvement]:
        """Run the first half of an epoch: improve trajectories, and store their labels in `state`."""
        batch, horizon, iterations = (
            self.config.batch,
            self.config.horizon,
            self.config.improvement_iterations,
        )
        keys = jax.random.split(jax.random.fold_in(key, 2 * state.epoch), 3 + batch * iterations)
        key_noise, key_targets, key_reset = keys[:3]
        noise = schedule.noise * jax.random.normal(key_noise, (batch, horizon, self.policy.action_size))
        improve = jax.vmap(self._improve, (None, 0, 0, 0, None, 0))
        improved = improve(
            state, theta, state.x, noise, schedule.temperature, keys[3:].reshape(batch, iterations)
        )
        actions, costs, non_finite = self._store_targets(state, improved, key_targets)
        x, left = self._next_starts(state, improved.before, key_reset)
        return state._replace(actions=actions, costs=costs, x=x, left=left), self._info(improved, non_finite)

    def regress(self, state: PODSState, schedule: Schedule, key: jax.Array) -> tuple[PODSState, Losses]:
        """Run the second half of an epoch: regress the networks on the labels in `state`."""
        networks, optimiser_state, losses = self._regression.descend(
            Networks(state.policy, state.value),
            state.optimiser,
            schedule.learning_rate,
            state.actions,
            state.costs,
            jnp.minimum(state.epoch + 1, self.config.kept_batches),
            jax.random.fold_in(key, 2 * state.epoch + 1),
        )
        after = state._replace(
            policy=networks.policy,
            average=optax.incremental_update(networks.policy, state.average, schedule.average_rate),
            value=networks.value,
            target_value=optax.incremental_update(
                networks.value, state.target_value, self.config.target_rate
            ),
            optimiser=optimiser_state,
            epoch=state.epoch + 1,
        )
        return after, losses

    def _typical_cost(self, x: jax.Array) -> jax.Array:
        """Return the value's scale: the cost of some steps at the start states `x[N, n]`, or of failure."""
        running = jax.vmap(lambda x: self.task.residual(x, jnp.zeros(self.policy.action_size)))(x)
        steps = self.config.value_steps * jnp.mean(0.5 * jnp.sum(running**2, axis=-1))
        return jnp.maximum(steps, max(self.config.value_failures * self.task.failure, SMALLEST_SCALE))

    @property
    def _regression(self) -> Regression:
        return Regression(self.policy, self.value, self.config.regression_steps, self.config.minibatch)

    def _targets_length(self, n: int, m: int) -> int:
        horizon = self.config.horizon
        trajectory = Trajectory(jnp.zeros((horizon + 1, n)), jnp.zeros((horizon, m)))
        gains = jnp.zeros((horizon, m, n))
        return jax.eval_shape(self.make_targets, trajectory, gains, jax.random.key(0)).x.shape[0]

    def _objective(self, value: Any) -> Objective:
        terminal = lambda x: self.value.residual(value, x)  # noqa: E731
        task = self.task
        return Objective(task.residual, terminal, task.terminated, self.config.discount, task.failure)

    def _improve(
        self,
        state: PODSState,
        theta: Theta,
        x: jax.Array,
        noise: jax.Array,
        temperature: jax.Array,
        keys: jax.Array,
    ) -> _Improved:
        """Roll out from x[n] with noise[H, m] on the actions; improve the trajectory once for each key."""
        law = lambda t, x: self.policy.apply(state.policy, x) + at(noise, t)  # noqa: E731
        before = rollout(self.model, theta, law, x, self.config.horizon)
        objective = self._objective(state.target_value)

        def improve_once(trajectory: Trajectory, key: jax.Array) -> tuple[Trajectory, Direction]:
            direction = self.find_direction(objective, self.model, theta, trajectory)
            after = self.search(objective, self.model, theta, trajectory, direction, key, temperature)
            return after, direction

        after, directions = jax.lax.scan(improve_once, before, keys)
        return _Improved(before, after, jax.tree.map(lambda leaf: leaf[-1], directions))

    def _store_targets(
        self, state: PODSState, improved: _Improved, key: jax.Array
    ) -> tuple[Labels, Labels, NonFinite]:
        """Store the action and cost targets of the improved trajectories[N] in the rings."""
        objective = self._objective(state.target_value)
        before, after, direction = improved
        costs = jax.vmap(lambda trajectory: td_lambda(objective, trajectory, self.config.td_lambda))(after)
        alive = jax.vmap(lambda trajectory: weights(objective, trajectory.x))(after)[:, :-1] > 0
        targets = jax.vmap(self.make_targets)(after, direction.K, jax.random.split(key, self.config.batch))
        repeated = jnp.tile(alive, (1, targets.x.shape[1] // alive.shape[1]))
        rows = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
        actions = store_batch(state.actions, state.epoch, rows(targets.x), rows(targets.u), rows(repeated))
        kept = store_batch(state.costs, state.epoch, rows(after.x[:, :-1]), costs.reshape(-1, 1), rows(alive))
        gains = direction.K.reshape(*direction.k.shape[:2], -1)
        moves = jnp.concatenate([direction.k, gains], axis=-1)
        return actions, kept, find_non_finite(before.x[:, 1:], before.u, moves, after.x[:, 1:], costs)

    def _info(self, improved: _Improved, non_finite: NonFinite) -> Improvement:
        costs = jax.vmap(
            lambda trajectory: (
                0.5 * jnp.sum(jax.vmap(self.task.residual)(trajectory.x[:-1], trajectory.u) ** 2, -1)
            )
        )
        norms = jnp.sqrt(jnp.sum(improved.direction.slope**2, axis=(1, 2)))
        median, most = jnp.nanpercentile(norms, jnp.array([50.0, 99.0]))
        before, after = (jnp.nanmean(costs(part)) for part in (improved.before, improved.after))
        return Improvement(before, after, median, most, non_finite)

    def _next_starts(
        self, state: PODSState, before: Trajectory, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return the next start states: the last states, or new ones where the episode is over."""
        last = before.x[:, -1]
        left = state.left - self.config.horizon
        over = (left <= 0) | jnp.any(jax.vmap(jax.vmap(self.task.terminated))(before.x), axis=-1)
        over |= ~jnp.all(jnp.isfinite(last), axis=-1)
        anew = self.starts(self.config.batch, key)
        return jnp.where(over[:, None], anew.x, last), jnp.where(over, anew.left, left)
