"""Step size along a direction: line search, or simulated annealing.

Both try several step sizes in parallel. A trial applies the direction's feedback to the states that it
visits, so it is a roll-out of the model and no extrapolation.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from trainer.learning.direction import Direction
from trainer.learning.trajectory import Objective, Trajectory, at, rollout, total_cost
from trainer.models.model import Model, Theta

Search = Callable[[Objective, Model, Theta, Trajectory, Direction, jax.Array, jax.Array], Trajectory]
"""`(objective, model, theta, trajectory, direction, key, temperature) -> trajectory`."""


def _candidates(
    objective: Objective, model: Model, theta: Theta, old: Trajectory, direction: Direction, alphas: jax.Array
) -> tuple[Trajectory, jax.Array]:
    """Roll out `u + alpha k + K (x − x_old)` for each alpha[a].

    Return the old trajectory and these, and their costs [1 + a].
    """

    def trial(alpha: jax.Array, start: jax.Array) -> Trajectory:
        def law(t: jax.Array, x: jax.Array) -> jax.Array:
            x_old, u_old, k, K = at((old.x, old.u, direction.k, direction.K), t)
            return u_old + alpha * k + K @ (x - x_old)

        return rollout(model, theta, law, start, old.u.shape[0])

    # equal starts, one each: a carry that is batched from the start is traced once
    trials = jax.vmap(trial)(alphas, jnp.tile(old.x[0], (len(alphas), 1)))
    candidates = jax.tree.map(lambda stay, new: jnp.concatenate([stay[None], new]), old, trials)
    return candidates, jax.vmap(lambda trajectory: total_cost(objective, trajectory))(candidates)


def line_search(alphas: tuple[float, ...]) -> Search:
    """Return the search that takes the best of `alphas`, or no step if none lowers the cost."""

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
        candidates, costs = _candidates(objective, model, theta, old, direction, jnp.asarray(alphas))
        best = jnp.argmin(costs)  # the first of equals, which is the old trajectory
        return at(candidates, best)

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
        uniform = jax.random.uniform(key, (1 + len(alphas),))
        accepting, gumbel = uniform[0], -jnp.log(-jnp.log(uniform[1:]))
        candidates, costs = _candidates(objective, model, theta, old, direction, jnp.asarray(alphas))
        positive = jnp.maximum(temperature, 1e-12)
        drawn = 1 + jnp.argmax(gumbel - (costs[1:] - jnp.min(costs[1:])) / positive)
        accept = jnp.log(accepting) < (costs[0] - costs[drawn]) / positive
        return at(candidates, jnp.where(accept, drawn, 0))

    return search
