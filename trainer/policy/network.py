"""The policy network: `u = tanh(MLP(z))`, and what is needed to build it again elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from trainer.policy.features import FeatureSpec

Parameters = Any
Policy = Callable[[Parameters, jax.Array], jax.Array]
"""`(parameters, x[..., n]) -> u[..., m]`, each component of u in [-1, 1]."""


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": nn.tanh, "relu": nn.relu, "elu": nn.elu, "swish": nn.swish
}  # fmt: skip


class MLP(nn.Module):
    """Multi-layer perceptron, `activation` between the layers; the last layer starts at `output_scale`."""

    hidden: tuple[int, ...]
    outputs: int
    output_scale: float = 1.0
    activation: str = "tanh"

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """Map z[..., f] to [..., outputs]."""
        for width in self.hidden:
            z = ACTIVATIONS[self.activation](nn.Dense(width, param_dtype=z.dtype)(z))
        initial = nn.initializers.variance_scaling(self.output_scale**2, "fan_in", "truncated_normal")
        return nn.Dense(self.outputs, kernel_init=initial, param_dtype=z.dtype)(z)


def forward(network: MLP, parameters: Parameters, z: jax.Array) -> jax.Array:
    """Return the network's output [..., outputs] for z[..., f]."""
    output = network.apply(parameters, z)
    assert isinstance(output, jax.Array)
    return output


@dataclass(frozen=True)
class PolicySpec:
    """The shape of a policy: features, hidden layers, number of actions m, and activation."""

    features: FeatureSpec
    hidden: tuple[int, ...]
    action_size: int
    activation: str = "tanh"

    def network(self) -> MLP:
        """Return the network under the final tanh."""
        return MLP(self.hidden, self.action_size, output_scale=0.01, activation=self.activation)

    def init(self, key: jax.Array) -> Parameters:
        """Draw parameters; the first actions are near zero."""
        return self.network().init(key, jnp.zeros(self.features.size))

    def apply(self, parameters: Parameters, x: jax.Array) -> jax.Array:
        """Return u[..., m] in [-1, 1] of x[..., n]."""
        return jnp.tanh(forward(self.network(), parameters, self.features(x)))
