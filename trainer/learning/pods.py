"""PODS: policy optimisation via differentiable simulation (Mora et al., ICML 2021).

One epoch rolls the policy out, treats the actions as free variables, improves every trajectory, and
regresses the policy on the improved actions at the states of the improved trajectories. Horizons are
short; a terminal value, regressed on TD(λ) targets of the improved trajectories, stands for the rest.

Notation (with that of `trajectory`)
    N   trajectories per epoch              D   batches of labels kept
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.learning.direction import FindDirection
from trainer.learning.search import Search
from trainer.learning.starts import Starts
from trainer.learning.trajectory import Model, Objective, Theta, Trajectory, rollout, running_costs, weights
from trainer.learning.value import ValueSpec, td_lambda
from trainer.policy.network import PolicySpec
from trainer.tasks.task import Task


@dataclass(frozen=True)
class PODSConfig:
    """How PODS learns.

    Attributes:
        batch: N, trajectories per epoch.
        horizon: H, control steps per trajectory.
        passes: improvements of each trajectory per epoch.
        discount: gamma of one control step.
        blend: lambda of TD(λ).
        kept_batches: D, batches of labels that the regression sees.
        regression_steps: Adam steps per epoch.
        minibatch: labels per Adam step.
        target_rate: share of the value's parameters that its slow copy takes over per epoch.
        average_rate: share of the policy's parameters that its average takes over per epoch.
    """

    batch: int = 64
    horizon: int = 16
    passes: int = 2
    discount: float = 0.98
    blend: float = 0.8
    kept_batches: int = 8
    regression_steps: int = 150
    minibatch: int = 512
    target_rate: float = 0.3
    average_rate: float = 0.2


class Labels(NamedTuple):
    """A ring of regression data: `x[D, N·H, n]`, `u[D, N·H, m]`, `cost_to_go[D, N·H]`, `weight[D, N·H]`.

    The weight is 1, or 0 where the state has terminated or anything is not finite.
    """

    x: jax.Array
    u: jax.Array
    cost_to_go: jax.Array
    weight: jax.Array


class PODSState(NamedTuple):
    """Everything that the next epoch depends on.

    `policy` is what the regression moves and the roll-outs follow; `average` is its running average
    over epochs (Polyak & Juditsky, 1992), which wanders less and is the one to publish. The next
    trajectories begin at `x[N, n]`, whose episodes have `left[N]` control steps to go.
    """

    policy: Any
    average: Any
    value: Any
    target_value: Any
    optimiser: Any
    labels: Labels
    x: jax.Array
    left: jax.Array
    epoch: jax.Array


class Schedule(NamedTuple):
    """What changes from epoch to epoch: noise on the actions, heat of the search, learning rate."""

    noise: jax.Array
    temperature: jax.Array
    learning_rate: jax.Array


class PODSInfo(NamedTuple):
    """The story of one epoch; every field is a scalar.

    Attributes:
        cost: mean cost of a control step of the policy's own trajectories.
        improved_cost: the same after the improvement.
        policy_loss: mean squared distance from the improved actions.
        value_loss: mean squared TD error, relative to the value's scale.
    """

    cost: jax.Array
    improved_cost: jax.Array
    policy_loss: jax.Array
    value_loss: jax.Array


@dataclass(frozen=True, eq=False)
class PODS:
    """The algorithm for `task`: two pure functions, `init` and `step`; the parts that vary are handed over.

    Attributes:
        task: cost and termination.
        model: dynamics of one sample, given its parameters theta.
        policy, value: shapes of the networks.
        starts: where trajectories begin.
        find_direction: first order or Gauss-Newton.
        search: line search or annealing.
        config: sizes and rates.
    """

    task: Task
    model: Model
    policy: PolicySpec
    value: ValueSpec
    starts: Starts
    find_direction: FindDirection
    search: Search
    config: PODSConfig

    def init(self, key: jax.Array) -> PODSState:
        """Draw networks, start states, and how far each episode has come."""
        key_policy, key_value, key_start, key_left = jax.random.split(key, 4)
        parameters = self.policy.init(key_policy), self.value.init(key_value)
        batch = self.config.batch
        x, steps = self.starts(batch, key_start)
        left = jax.random.randint(key_left, (batch,), 1, steps + 1)
        rows = (self.config.kept_batches, batch * self.config.horizon)
        labels = Labels(
            jnp.zeros((*rows, x.shape[1])),
            jnp.zeros((*rows, self.policy.action_size)),
            jnp.zeros(rows),
            jnp.zeros(rows),
        )
        optimiser_state = self._optimiser.init(parameters)
        policy, value = parameters
        epoch = jnp.zeros((), jnp.int32)
        return PODSState(policy, policy, value, value, optimiser_state, labels, x, left, epoch)

    def step(
        self, state: PODSState, theta: Theta, schedule: Schedule, key: jax.Array
    ) -> tuple[PODSState, PODSInfo]:
        """Run one epoch with the model parameters `theta` (leading axis N)."""
        key_improve, key_regress, key_reset = jax.random.split(key, 3)
        keys = jax.random.split(key_improve, self.config.batch)
        before, after = jax.vmap(self._improve, (None, 0, 0, None, 0))(state, theta, state.x, schedule, keys)
        labels, filled = self._keep(state, after)
        optimiser_state = state.optimiser
        optimiser_state.hyperparams["learning_rate"] = schedule.learning_rate
        (policy, value), optimiser_state, (policy_loss, value_loss) = self._regress(
            (state.policy, state.value), optimiser_state, labels, filled, key_regress
        )
        target_value = optax.incremental_update(value, state.target_value, self.config.target_rate)
        average = optax.incremental_update(policy, state.average, self.config.average_rate)
        x, left = self._go_on(state, before, key_reset)
        costs = jax.vmap(lambda trajectory: running_costs(self._objective(value), trajectory))
        info = PODSInfo(jnp.mean(costs(before)), jnp.mean(costs(after)), policy_loss, value_loss)
        epoch = state.epoch + 1
        return PODSState(policy, average, value, target_value, optimiser_state, labels, x, left, epoch), info

    @property
    def _optimiser(self) -> optax.GradientTransformationExtraArgs:
        clipped = lambda learning_rate: optax.chain(  # noqa: E731
            optax.clip_by_global_norm(1.0), optax.adam(learning_rate)
        )
        return optax.inject_hyperparams(clipped)(learning_rate=1e-3)

    def _objective(self, value: Any) -> Objective:
        terminal = lambda x: self.value.residual(value, x)  # noqa: E731
        return Objective(self.task.residual, terminal, self.task.terminated, self.config.discount)

    def _improve(
        self, state: PODSState, theta: Theta, x: jax.Array, schedule: Schedule, key: jax.Array
    ) -> tuple[Trajectory, Trajectory]:
        """Roll one sample out from x[n]; return its trajectory before and after the improvement."""
        key_noise, key_search = jax.random.split(key)
        shape = (self.config.horizon, self.policy.action_size)
        noise = schedule.noise * jax.random.normal(key_noise, shape)
        law = lambda t, x: self.policy.apply(state.policy, x) + noise[t]  # noqa: E731
        before = rollout(self.model, theta, law, x, self.config.horizon)
        objective = self._objective(state.target_value)

        def again(trajectory: Trajectory, key: jax.Array) -> tuple[Trajectory, None]:
            direction = self.find_direction(objective, self.model, theta, trajectory)
            temperature = schedule.temperature
            return self.search(objective, self.model, theta, trajectory, direction, key, temperature), None

        after, _ = jax.lax.scan(again, before, jax.random.split(key_search, self.config.passes))
        return before, after

    def _keep(self, state: PODSState, after: Trajectory) -> tuple[Labels, jax.Array]:
        """Put the improved trajectories `after`[N] into the ring; return it and its number of labels."""
        objective = self._objective(state.target_value)
        targets = jax.vmap(lambda trajectory: td_lambda(objective, trajectory, self.config.blend))(after)
        alive = jax.vmap(lambda trajectory: weights(objective, trajectory.x))(after)[:, :-1] > 0
        x = after.x[:, :-1].reshape(-1, state.x.shape[1])
        newest = _usable(
            x, after.u.reshape(-1, self.policy.action_size), targets.reshape(-1), alive.reshape(-1)
        )
        slot = state.epoch % self.config.kept_batches
        labels = jax.tree.map(lambda ring, new: ring.at[slot].set(new), state.labels, newest)
        return labels, jnp.minimum(state.epoch + 1, self.config.kept_batches) * x.shape[0]

    def _loss(self, parameters: tuple, labels: Labels) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        policy, value = parameters
        share = labels.weight / jnp.maximum(jnp.sum(labels.weight), 1.0)
        missed = jnp.mean((self.policy.apply(policy, labels.x) - labels.u) ** 2, axis=-1)
        errors = (self.value.cost_to_go(value, labels.x) - labels.cost_to_go) / self.value.scale
        policy_loss, value_loss = share @ missed, share @ errors**2
        return policy_loss + value_loss, (policy_loss, value_loss)

    def _regress(
        self, parameters: tuple, optimiser_state: Any, labels: Labels, filled: jax.Array, key: jax.Array
    ) -> tuple[tuple, Any, tuple[jax.Array, jax.Array]]:
        """Descend on minibatches of the first `filled` labels."""
        flat = Labels(*(leaf.reshape(-1, *leaf.shape[2:]) for leaf in labels))

        def descend(carry: tuple, key: jax.Array) -> tuple[tuple, tuple[jax.Array, jax.Array]]:
            parameters, optimiser_state = carry
            rows = jax.random.randint(key, (self.config.minibatch,), 0, filled)
            minibatch = Labels(*(leaf[rows] for leaf in flat))
            gradients, losses = jax.grad(self._loss, has_aux=True)(parameters, minibatch)
            updates, optimiser_state = self._optimiser.update(gradients, optimiser_state)
            return (optax.apply_updates(parameters, updates), optimiser_state), losses

        keys = jax.random.split(key, self.config.regression_steps)
        carry, losses = jax.lax.scan(descend, (parameters, optimiser_state), keys)
        return *carry, jax.tree.map(jnp.mean, losses)

    def _go_on(self, state: PODSState, before: Trajectory, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return where the next trajectories start: where these ended, or anew where the episode is over."""
        last = before.x[:, -1]
        left = state.left - self.config.horizon
        over = (left <= 0) | jax.vmap(self.task.terminated)(last)
        over |= ~jnp.all(jnp.isfinite(last), axis=-1)
        anew = self.starts(self.config.batch, key)
        return jnp.where(over[:, None], anew.x, last), jnp.where(over, anew.left, left)


def _usable(x: jax.Array, u: jax.Array, cost_to_go: jax.Array, alive: jax.Array) -> Labels:
    """Return labels in which whatever is not finite is 0 and weighs nothing."""
    finite = jnp.all(jnp.isfinite(x), axis=-1) & jnp.all(jnp.isfinite(u), axis=-1) & jnp.isfinite(cost_to_go)
    x, u, cost_to_go = (jnp.nan_to_num(leaf, posinf=0.0, neginf=0.0) for leaf in (x, u, cost_to_go))
    return Labels(x, u, cost_to_go, (finite & alive).astype(x.dtype))
