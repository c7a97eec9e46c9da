"""SHAC: short-horizon actor critic (Xu et al., ICLR 2022), as the paper describes it.

The actor descends on the cost of h steps through the simulator plus the slow critic's value of the last
state; the critic is regressed on TD(λ) targets of the same trajectories. Hyper-parameters are the paper's
for its cart-pole swing-up (h = 32, N = 64, Adam with betas 0.7 and 0.95, rates that fall linearly).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.learning.trajectory import Model
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


def shac(task: Task, model: Model, policy: PolicySpec, epochs: int, key: jax.Array) -> Iterator[SHACState]:
    """Yield the state after each epoch of h · N model steps."""
    critic = MLP((64, 64), 1)
    cost_to_go = lambda value, x: forward(critic, value, task.features(x))[..., 0]  # noqa: E731
    fall = lambda rate: optax.linear_schedule(rate, 0.01 * rate, epochs)  # noqa: E731
    chain = lambda rate: optax.chain(  # noqa: E731
        optax.clip_by_global_norm(GRADIENT_NORM), optax.adam(rate, b1=0.7, b2=0.95)
    )
    actor = chain(fall(ACTOR_RATE))
    critic_steps = epochs * CRITIC_PASSES * CRITIC_MINIBATCHES
    critic_optimiser = chain(optax.linear_schedule(CRITIC_RATE, 0.01 * CRITIC_RATE, critic_steps))

    def explore(parameters: Any, target: Any, x: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple]:
        """Return the discounted cost of one trajectory from x[n], its states and its costs."""

        def advance(x: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple]:
            before = forward(policy.network(), parameters, policy.features(x))
            u = jnp.tanh(before + NOISE * jax.random.normal(key, before.shape))
            x_next = model(None, x, u)
            return x_next, (x_next, 0.5 * jnp.sum(task.residual(x, u) ** 2))

        last, (states, costs) = jax.lax.scan(advance, x, jax.random.split(key, HORIZON))
        gammas = DISCOUNT ** jnp.arange(HORIZON)
        total = costs @ gammas + DISCOUNT**HORIZON * cost_to_go(target, last)
        return total, (jnp.concatenate([x[None], states]), costs)

    def actor_loss(parameters: Any, state: SHACState, keys: jax.Array) -> tuple[jax.Array, tuple]:
        totals, seen = jax.vmap(explore, (None, None, 0, 0))(parameters, state.target, state.x, keys)
        return jnp.mean(totals) / HORIZON, seen

    def targets(target: Any, x: jax.Array, costs: jax.Array) -> jax.Array:
        values = cost_to_go(target, x)

        def back(ahead: jax.Array, step: tuple) -> tuple[jax.Array, jax.Array]:
            cost, value_next = step
            found = cost + DISCOUNT * ((1.0 - BLEND) * value_next + BLEND * ahead)
            return found, found

        return jax.lax.scan(back, values[-1], (costs, values[1:]), reverse=True)[1]

    def regress(state: SHACState, x: jax.Array, wanted: jax.Array, key: jax.Array) -> tuple[Any, Any]:
        def descend(carry: tuple, rows: jax.Array) -> tuple[tuple, None]:
            value, critic_state = carry
            loss = lambda value: jnp.mean((cost_to_go(value, x[rows]) - wanted[rows]) ** 2)  # noqa: E731
            updates, critic_state = critic_optimiser.update(jax.grad(loss)(value), critic_state)
            return (optax.apply_updates(value, updates), critic_state), None

        shuffled = jax.vmap(lambda key: jax.random.permutation(key, len(x)))(
            jax.random.split(key, CRITIC_PASSES)
        )
        rows = shuffled.reshape(CRITIC_PASSES * CRITIC_MINIBATCHES, -1)
        return jax.lax.scan(descend, (state.value, state.critic_state), rows)[0]

    @jax.jit
    def epoch(state: SHACState, key: jax.Array) -> SHACState:
        key_noise, key_fit, key_reset = jax.random.split(key, 3)
        gradient, (x, costs) = jax.grad(actor_loss, has_aux=True)(
            state.policy, state, jax.random.split(key_noise, BATCH)
        )
        gradient = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0.0), gradient)
        updates, actor_state = actor.update(gradient, state.actor_state)
        wanted = jax.vmap(targets, (None, 0, 0))(state.target, x, costs)
        rows = x[:, :-1].reshape(-1, x.shape[-1])
        value, critic_state = regress(state, rows, wanted.reshape(-1), key_fit)
        over = state.t + HORIZON >= task.episode_steps
        anew = jax.vmap(task.reset)(jax.random.split(key_reset, BATCH))
        return SHACState(
            policy=optax.apply_updates(state.policy, updates),
            value=value,
            target=optax.incremental_update(value, state.target, 1.0 - TARGET_RATE),
            actor_state=actor_state,
            critic_state=critic_state,
            x=jnp.where(over[:, None], anew, x[:, -1]),
            t=jnp.where(over, 0, state.t + HORIZON),
        )

    key_policy, key_value, key_x, key_t, key = jax.random.split(key, 5)
    parameters, value = policy.init(key_policy), critic.init(key_value, jnp.zeros(task.features.size))
    x = jax.vmap(task.reset)(jax.random.split(key_x, BATCH))
    t = jax.random.randint(key_t, (BATCH,), 0, task.episode_steps)
    state = SHACState(parameters, value, value, actor.init(parameters), critic_optimiser.init(value), x, t)
    for _ in range(epochs):
        key, key_epoch = jax.random.split(key)
        state = epoch(state, key_epoch)
        yield state
