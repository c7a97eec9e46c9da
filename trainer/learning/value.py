"""The terminal value: a learned residual, so that its curvature is positive semi-definite.

The cost to go from x is modelled as `½‖φ(x)‖²`, which can represent any cost >= 0. Its Gauss-Newton curvature
`∂φᵀ∂φ` is positive semi-definite by construction, unlike the Hessian of a general value.

The network's outputs are in units of a typical cost, `scale`, which is set with the initial parameters and
fixed: a value that begins far above all costs is hardly corrected by learning.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.trajectory import Objective, Trajectory, running_costs
from trainer.policy.features import FeatureSpec
from trainer.policy.network import MLP, forward


class ValueParameters(NamedTuple):
    """Parameters of φ's network, and `scale` [], a typical cost to go, which no gradient moves."""

    network: Any
    scale: jax.Array


@dataclass(frozen=True)
class ValueSpec:
    """Shape of φ: hidden layers, `outputs` residuals, and activation."""

    features: FeatureSpec
    hidden: tuple[int, ...]
    outputs: int
    activation: str = "tanh"

    def network(self) -> MLP:
        """Return the network of φ before scaling."""
        return MLP(self.hidden, self.outputs, activation=self.activation)

    def init(self, key: jax.Array, scale: jax.Array) -> ValueParameters:
        """Draw parameters for costs to go around `scale` [] > 0."""
        return ValueParameters(self.network().init(key, jnp.zeros(self.features.size)), scale)

    def residual(self, parameters: ValueParameters, x: jax.Array) -> jax.Array:
        """Return φ[..., l] of x[..., n]."""
        output = forward(self.network(), parameters.network, self.features(x))
        return jnp.sqrt(2.0 * jax.lax.stop_gradient(parameters.scale) / self.outputs) * output

    def cost_to_go(self, parameters: ValueParameters, x: jax.Array) -> jax.Array:
        """Return ½‖φ‖² [...] of x[..., n]."""
        return 0.5 * jnp.sum(self.residual(parameters, x) ** 2, axis=-1)


def td_lambda(objective: Objective, trajectory: Trajectory, lam: float) -> jax.Array:
    """Return TD(λ) estimates of the cost to go [H] at the first H states (Sutton, 1988).

    `G_t = c_t + γ ((1 − λ) V(x_{t+1}) + λ G_{t+1})` with `G_H = V(x_H)`, which stands for what comes after a
    truncation too. A terminated state bootstraps nothing: it costs `failure_cost`, and nothing after it.
    """
    values = 0.5 * jnp.sum(jax.vmap(objective.terminal)(trajectory.x) ** 2, axis=-1)
    alive = jnp.cumsum(jax.vmap(objective.terminated)(trajectory.x)) == 0

    def back(ahead: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        cost, value_next, alive_now, alive_next = step
        goes_on = (1.0 - lam) * value_next + lam * ahead
        bootstrap = jnp.where(alive_next, goes_on, objective.failure_cost)
        target = jnp.where(alive_now, cost + objective.discount * bootstrap, 0.0)
        return target, target

    steps = (running_costs(objective, trajectory), values[1:], alive[:-1], alive[1:])
    return jax.lax.scan(back, values[-1], steps, reverse=True)[1]
