"""Regress policy and value on labels, by Adam on minibatches.

Notation (with that of `labels`)
    u   actions that the policy is to give           [R, m]
    G   cost to go that the value is to give         [R, 1]
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from trainer.learning.labels import Labels
from trainer.learning.value import ValueParameters, ValueSpec
from trainer.policy.network import PolicySpec


class Networks(NamedTuple):
    """Parameters of policy and value."""

    policy: Any
    value: ValueParameters


class Losses(NamedTuple):
    """Mean squared action error, and mean squared error of the cost to go in units of the value's scale."""

    policy: jax.Array
    value: jax.Array


@dataclass(frozen=True)
class Regression:
    """`steps` of Adam on minibatches of `minibatch` labels; gradients are clipped to norm 1.

    A step whose gradient is not finite is left out.
    """

    policy: PolicySpec
    value: ValueSpec
    steps: int
    minibatch: int

    def init(self, networks: Networks) -> Any:
        """Return the optimiser's state."""
        return self._optimiser.init(ravel_pytree(networks)[0])

    def descend(
        self,
        networks: Networks,
        optimiser_state: Any,
        learning_rate: jax.Array,
        actions: Labels,
        costs: Labels,
        batches: jax.Array,
        key: jax.Array,
    ) -> tuple[Networks, Any, Losses]:
        """Return the networks after descending on the first `batches` of each ring, and the mean losses."""
        optimiser_state.hyperparams["learning_rate"] = learning_rate
        rings = [Labels(*(leaf.reshape(-1, *leaf.shape[2:]) for leaf in ring)) for ring in (actions, costs)]

        flat, unravel = ravel_pytree(networks)  # one vector compiles sooner than many leaves

        def step(carry: tuple, shares: jax.Array) -> tuple[tuple, Losses]:
            flat, optimiser_state = carry
            drawn = []
            for ring, share in zip(rings, shares, strict=True):
                filled = batches * (ring.x.shape[0] // actions.x.shape[0])
                rows = (share * filled).astype(jnp.int32)
                drawn.append(Labels(*(leaf[rows] for leaf in ring)))
            gradients, losses = jax.grad(self._loss, has_aux=True)(unravel(flat), *drawn)
            gradient, _ = ravel_pytree(gradients)
            updates, moved = self._optimiser.update(gradient, optimiser_state)
            usable = jnp.isfinite(optax.tree.norm(gradient))
            after = flat + updates, moved
            return jax.tree.map(lambda new, old: jnp.where(usable, new, old), after, carry), losses

        # one draw for all steps compiles sooner than one for each
        places = jax.random.uniform(key, (self.steps, len(rings), self.minibatch))
        (flat, optimiser_state), losses = jax.lax.scan(step, (flat, optimiser_state), places)
        return unravel(flat), optimiser_state, jax.tree.map(jnp.mean, losses)

    @property
    def _optimiser(self) -> optax.GradientTransformationExtraArgs:
        clipped = lambda learning_rate: optax.chain(  # noqa: E731
            optax.clip_by_global_norm(1.0), optax.adam(learning_rate)
        )
        return optax.inject_hyperparams(clipped)(learning_rate=1e-3)

    def _loss(self, networks: Networks, actions: Labels, costs: Labels) -> tuple[jax.Array, Losses]:
        missed = jnp.mean((self.policy.apply(networks.policy, actions.x) - actions.y) ** 2, axis=-1)
        scale = jax.lax.stop_gradient(networks.value.scale)
        errors = (self.value.cost_to_go(networks.value, costs.x) - costs.y[:, 0]) / scale
        losses = Losses(_mean(missed, actions.weight), _mean(errors**2, costs.weight))
        return losses.policy + losses.value, losses


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    return values @ weight / jnp.maximum(jnp.sum(weight), 1.0)
