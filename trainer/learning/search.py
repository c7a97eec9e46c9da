"""How far to go along a direction: line search, or simulated annealing of the step size.

Both try several step sizes at once, in parallel. A trial follows the direction's feedback around
the states it really visits, so it is a roll-out of the model and never an extrapolation.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from trainer.learning.direction import Direction
from trainer.learning.trajectory import Model, Objective, Theta, Trajectory, rollout, total_cost

Search = Callable[[Objective, Model, Theta, Trajectory, Direction, jax.Array, jax.Array], Trajectory]
"""`(objective, model, theta, trajectory, direction, key, temperature) -> trajectory`."""


def _trials(
    objective: Objective, model: Model, theta: Theta, old: Trajectory, direction: Direction, alphas: jax.Array
) -> tuple[Trajectory, jax.Array]:
    """Roll out `u + alpha k + K (x − x_old)` for each alpha[a]; return trajectories and costs [a]."""

    def trial(alpha: jax.Array) -> Trajectory:
        def law(t: jax.Array, x: jax.Array) -> jax.Array:
            return old.u[t] + alpha * direction.k[t] + direction.K[t] @ (x - old.x[t])

        return rollout(model, theta, law, old.x[0], old.u.shape[0])

    trajectories = jax.vmap(trial)(alphas)
    return trajectories, jax.vmap(lambda trajectory: total_cost(objective, trajectory))(trajectories)


def line_search(alphas: tuple[float, ...]) -> Search:
    """Return the search that takes the best of `alphas`, and stays unless that improves the cost."""

    def search(
        objective: Objective,
        model: Model,
        theta: Theta,
        old: Trajectory,
        direction: Direction,
        key: jax.Array,
        temperature: jax.Array,
    ) -> Trajectory:
        del key, temperature
        trials, costs = _trials(objective, model, theta, old, direction, jnp.asarray(alphas))
        best = jnp.argmin(costs)
        accept = costs[best] < total_cost(objective, old)
        return jax.tree.map(lambda new, stay: jnp.where(accept, new[best], stay), trials, old)

    return search


def annealing(alphas: tuple[float, ...]) -> Search:
    """Return the search that draws a step size and accepts it by Metropolis' rule.

    The step size is drawn from the Gibbs distribution of the trials' costs, and taken with
    probability `min(1, exp(−(C_new − C_old) / temperature))` (Metropolis et al., 1953): at a
    temperature > 0 a worse step can be taken, at 0 only an improvement is.
    """

    def search(
        objective: Objective,
        model: Model,
        theta: Theta,
        old: Trajectory,
        direction: Direction,
        key: jax.Array,
        temperature: jax.Array,
    ) -> Trajectory:
        key_draw, key_accept = jax.random.split(key)
        trials, costs = _trials(objective, model, theta, old, direction, jnp.asarray(alphas))
        heat = jnp.maximum(temperature, 1e-12)
        drawn = jax.random.categorical(key_draw, -(costs - jnp.min(costs)) / heat)
        rise = costs[drawn] - total_cost(objective, old)
        accept = jnp.log(jax.random.uniform(key_accept)) < -rise / heat
        return jax.tree.map(lambda new, stay: jnp.where(accept, new[drawn], stay), trials, old)

    return search
