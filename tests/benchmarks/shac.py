"""SHAC: short-horizon actor critic (Xu et al., ICLR 2022), as the paper describes it.

    hds-trainer train --algorithm tests/benchmarks/shac.py:SHAC

The actor descends on the cost of h steps through the simulator plus the slow critic's value of the last
state; the critic is regressed on TD(λ) targets of the same trajectories. Hyper-parameters are the paper's
for its cart-pole swing-up (h = 32, N = 64, Adam with betas 0.7 and 0.95, rates that fall linearly).
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.learning.algorithm import Algorithm, EpochInfo, Problem
from trainer.models.model import Theta
from trainer.policy.network import MLP, forward

HORIZON, BATCH, DISCOUNT, BLEND = 32, 64, 0.99, 0.95
ACTOR_RATE, CRITIC_RATE, TARGET_RATE = 1e-2, 1e-3, 0.2
CRITIC_PASSES, CRITIC_MINIBATCHES, GRADIENT_NORM = 16, 4, 1.0
NOISE = 0.3
"""Standard deviation of the exploring actor's actions before tanh; the paper's actor is stochastic too."""


class SHACState(NamedTuple):
    """Networks, optimisers, and where the next trajectories begin."""

    policy: Any
    value: Any
    target: Any
    actor_state: Any
    critic_state: Any
    x: jax.Array
    t: jax.Array


class SHAC(Algorithm[SHACState]):
    """The learner for a problem, with an actor of the shape of its policy."""

    def __init__(self, problem: Problem) -> None:
        self.task, self.model, self._policy = problem.task, problem.model, problem.policy
        self.epochs = problem.configuration.training.epochs
        self._epoch = jax.jit(self._run)

    @property
    def batch(self) -> int:
        """Trajectories in an epoch."""
        return BATCH

    @property
    def steps(self) -> int:
        """Control steps in an epoch."""
        return BATCH * HORIZON

    def policy(self, state: SHACState) -> Any:
        """Return the actor."""
        return state.policy

    def networks(self, state: SHACState) -> dict[str, Any]:
        """Return actor and critic."""
        return {"policy": state.policy, "value": state.value}

    def warm_start(self, state: SHACState, networks: Mapping[str, Any]) -> SHACState:
        """Go on from actor and critic."""
        return state._replace(**networks, target=networks["value"])

    def step(self, state: SHACState, theta: Theta, epoch: int, key: jax.Array) -> tuple[SHACState, EpochInfo]:
        """Run one epoch of h · N model steps."""
        state, cost = self._epoch(state, theta, jax.random.fold_in(key, epoch))
        return state, EpochInfo({"cost_per_step": cost})

    @property
    def critic(self) -> MLP:
        """Return the network of the cost to go."""
        return MLP((64, 64), 1)

    @property
    def actor_optimiser(self) -> optax.GradientTransformation:
        """Return the actor's, one step per epoch."""
        return _optimiser(ACTOR_RATE, self.epochs)

    @property
    def critic_optimiser(self) -> optax.GradientTransformation:
        """Return the critic's, which takes several steps per epoch."""
        return _optimiser(CRITIC_RATE, self.epochs * CRITIC_PASSES * CRITIC_MINIBATCHES)

    def init(self, key: jax.Array) -> SHACState:
        """Draw networks, start states, and how far each episode has come."""
        key_policy, key_value, key_x, key_t = jax.random.split(key, 4)
        parameters = self._policy.init(key_policy)
        value = self.critic.init(key_value, jnp.zeros(self.task.features.size))
        x = jax.vmap(self.task.reset)(jax.random.split(key_x, BATCH))
        t = jax.random.randint(key_t, (BATCH,), 0, self.task.episode_steps)
        optimisers = self.actor_optimiser.init(parameters), self.critic_optimiser.init(value)
        return SHACState(parameters, value, value, *optimisers, x, t)

    def _run(self, state: SHACState, theta: Theta, key: jax.Array) -> tuple[SHACState, jax.Array]:
        key_noise, key_fit, key_reset = jax.random.split(key, 3)
        gradient, (x, costs) = jax.grad(self._actor_loss, has_aux=True)(
            state.policy, state, theta, jax.random.split(key_noise, BATCH)
        )
        gradient = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0.0), gradient)
        updates, actor_state = self.actor_optimiser.update(gradient, state.actor_state)
        wanted = jax.vmap(self._targets, (None, 0, 0))(state.target, x, costs)
        rows = x[:, :-1].reshape(-1, x.shape[-1])
        value, critic_state = self._regress(state, rows, wanted.reshape(-1), key_fit)
        over = state.t + HORIZON >= self.task.episode_steps
        anew = jax.vmap(self.task.reset)(jax.random.split(key_reset, BATCH))
        after = SHACState(
            policy=optax.apply_updates(state.policy, updates),
            value=value,
            target=optax.incremental_update(value, state.target, 1.0 - TARGET_RATE),
            actor_state=actor_state,
            critic_state=critic_state,
            x=jnp.where(over[:, None], anew, x[:, -1]),
            t=jnp.where(over, 0, state.t + HORIZON),
        )
        return after, jnp.mean(costs)

    def _cost_to_go(self, value: Any, x: jax.Array) -> jax.Array:
        return forward(self.critic, value, self.task.features(x))[..., 0]

    def _explore(
        self, parameters: Any, target: Any, theta: Theta, x: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple]:
        """Return the discounted cost of one trajectory from x[n], its states and its costs."""

        def advance(x: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple]:
            before = forward(self._policy.network(), parameters, self._policy.features(x))
            u = jnp.tanh(before + NOISE * jax.random.normal(key, before.shape))
            x_next = self.model(theta, x, u)
            return x_next, (x_next, 0.5 * jnp.sum(self.task.residual(x, u) ** 2))

        last, (states, costs) = jax.lax.scan(advance, x, jax.random.split(key, HORIZON))
        gammas = DISCOUNT ** jnp.arange(HORIZON)
        total = costs @ gammas + DISCOUNT**HORIZON * self._cost_to_go(target, last)
        return total, (jnp.concatenate([x[None], states]), costs)

    def _actor_loss(
        self, parameters: Any, state: SHACState, theta: Theta, keys: jax.Array
    ) -> tuple[jax.Array, tuple]:
        explore = jax.vmap(self._explore, (None, None, 0, 0, 0))
        totals, seen = explore(parameters, state.target, theta, state.x, keys)
        return jnp.mean(totals) / HORIZON, seen

    def _targets(self, target: Any, x: jax.Array, costs: jax.Array) -> jax.Array:
        values = self._cost_to_go(target, x)

        def back(ahead: jax.Array, step: tuple) -> tuple[jax.Array, jax.Array]:
            cost, value_next = step
            found = cost + DISCOUNT * ((1.0 - BLEND) * value_next + BLEND * ahead)
            return found, found

        return jax.lax.scan(back, values[-1], (costs, values[1:]), reverse=True)[1]

    def _regress(self, state: SHACState, x: jax.Array, wanted: jax.Array, key: jax.Array) -> tuple[Any, Any]:
        def descend(carry: tuple, rows: jax.Array) -> tuple[tuple, None]:
            value, critic_state = carry
            loss = lambda value: jnp.mean((self._cost_to_go(value, x[rows]) - wanted[rows]) ** 2)  # noqa: E731
            updates, critic_state = self.critic_optimiser.update(jax.grad(loss)(value), critic_state)
            return (optax.apply_updates(value, updates), critic_state), None

        shuffle = functools.partial(jax.random.permutation, x=len(x))
        rows = jax.vmap(shuffle)(jax.random.split(key, CRITIC_PASSES))
        rows = rows.reshape(CRITIC_PASSES * CRITIC_MINIBATCHES, -1)
        return jax.lax.scan(descend, (state.value, state.critic_state), rows)[0]


def _optimiser(rate: float, steps: int) -> optax.GradientTransformation:
    falling = optax.linear_schedule(rate, 0.01 * rate, steps)
    return optax.chain(optax.clip_by_global_norm(GRADIENT_NORM), optax.adam(falling, b1=0.7, b2=0.95))
