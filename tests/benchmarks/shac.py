"""SHAC: short-horizon actor critic (Xu et al., ICLR 2022), as the paper describes it.

The actor descends on the cost of h steps through the simulator plus the slow critic's value of the last
state; the critic is regressed on TD(λ) targets of the same trajectories. Hyper-parameters are the paper's
for its cart-pole swing-up (h = 32, N = 64, Adam with betas 0.7 and 0.95, rates that fall linearly).
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.models.model import Model
from trainer.policy.network import MLP, PolicySpec, forward
from trainer.tasks.task import Task

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


@dataclass(frozen=True, eq=False)
class SHAC:
    """The learner for `task` in `model`, with an actor of the shape of `policy`, for `epochs`."""

    task: Task
    model: Model
    policy: PolicySpec
    epochs: int

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
        parameters = self.policy.init(key_policy)
        value = self.critic.init(key_value, jnp.zeros(self.task.features.size))
        x = jax.vmap(self.task.reset)(jax.random.split(key_x, BATCH))
        t = jax.random.randint(key_t, (BATCH,), 0, self.task.episode_steps)
        optimisers = self.actor_optimiser.init(parameters), self.critic_optimiser.init(value)
        return SHACState(parameters, value, value, *optimisers, x, t)

    def step(self, state: SHACState, key: jax.Array) -> SHACState:
        """Run one epoch of h · N model steps."""
        key_noise, key_fit, key_reset = jax.random.split(key, 3)
        gradient, (x, costs) = jax.grad(self._actor_loss, has_aux=True)(
            state.policy, state, jax.random.split(key_noise, BATCH)
        )
        gradient = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0.0), gradient)
        updates, actor_state = self.actor_optimiser.update(gradient, state.actor_state)
        wanted = jax.vmap(self._targets, (None, 0, 0))(state.target, x, costs)
        rows = x[:, :-1].reshape(-1, x.shape[-1])
        value, critic_state = self._regress(state, rows, wanted.reshape(-1), key_fit)
        over = state.t + HORIZON >= self.task.episode_steps
        anew = jax.vmap(self.task.reset)(jax.random.split(key_reset, BATCH))
        return SHACState(
            policy=optax.apply_updates(state.policy, updates),
            value=value,
            target=optax.incremental_update(value, state.target, 1.0 - TARGET_RATE),
            actor_state=actor_state,
            critic_state=critic_state,
            x=jnp.where(over[:, None], anew, x[:, -1]),
            t=jnp.where(over, 0, state.t + HORIZON),
        )

    def _cost_to_go(self, value: Any, x: jax.Array) -> jax.Array:
        return forward(self.critic, value, self.task.features(x))[..., 0]

    def _explore(self, parameters: Any, target: Any, x: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple]:
        """Return the discounted cost of one trajectory from x[n], its states and its costs."""

        def advance(x: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple]:
            before = forward(self.policy.network(), parameters, self.policy.features(x))
            u = jnp.tanh(before + NOISE * jax.random.normal(key, before.shape))
            x_next = self.model(None, x, u)
            return x_next, (x_next, 0.5 * jnp.sum(self.task.residual(x, u) ** 2))

        last, (states, costs) = jax.lax.scan(advance, x, jax.random.split(key, HORIZON))
        gammas = DISCOUNT ** jnp.arange(HORIZON)
        total = costs @ gammas + DISCOUNT**HORIZON * self._cost_to_go(target, last)
        return total, (jnp.concatenate([x[None], states]), costs)

    def _actor_loss(self, parameters: Any, state: SHACState, keys: jax.Array) -> tuple[jax.Array, tuple]:
        totals, seen = jax.vmap(self._explore, (None, None, 0, 0))(parameters, state.target, state.x, keys)
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


def train(learner: SHAC, key: jax.Array) -> Iterator[SHACState]:
    """Yield the state after each epoch."""
    key_init, key = jax.random.split(key)
    state, step = learner.init(key_init), jax.jit(learner.step)
    for _ in range(learner.epochs):
        key, key_epoch = jax.random.split(key)
        state = step(state, key_epoch)
        yield state
