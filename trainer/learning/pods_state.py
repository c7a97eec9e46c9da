"""State, schedule and figures of PODS.

Notation (with that of `trajectory`)
    N   trajectories per epoch              D   stored batches of labels
"""

from typing import Any, NamedTuple

import jax

from trainer.learning.labels import Labels
from trainer.learning.non_finite import NonFinite


class PODSState(NamedTuple):
    """Everything that the next epoch depends on.

    The regression changes `policy`, and roll-outs use it. `average` is its running average over epochs
    (Polyak & Juditsky, 1992), which fluctuates less and is published. The next trajectories start at `x[N,
    n]`, with `left[N]` control steps until their episodes end.
    """

    policy: Any
    average: Any
    value: Any
    target_value: Any
    optimiser: Any
    actions: Labels
    costs: Labels
    x: jax.Array
    left: jax.Array
    epoch: jax.Array


class Schedule(NamedTuple):
    """Values that change with the epoch.

    Noise on the actions, temperature of the search, learning rate, and the share of the policy's parameters
    that its average takes over.
    """

    noise: jax.Array
    temperature: jax.Array
    learning_rate: jax.Array
    average_rate: jax.Array


class Improvement(NamedTuple):
    """Figures of an epoch's improvement, a part of `PODSInfo`."""

    cost: jax.Array
    improved_cost: jax.Array
    gradient_median: jax.Array
    gradient_p99: jax.Array
    non_finite: NonFinite


class PODSInfo(NamedTuple):
    """Figures of one epoch; every field but `non_finite` is a scalar.

    Attributes:
        cost: mean cost of a control step of the policy's own trajectories, noise on its actions included.
        improved_cost: the same after the improvement.
        gradient_median, gradient_p99: over the batch, of the norm of ∂C/∂u before the last improvement.
        non_finite: the first number that was not finite.
        policy_loss: mean squared distance from the improved actions.
        value_loss: mean squared TD error, relative to the value's scale.
    """

    cost: jax.Array
    improved_cost: jax.Array
    gradient_median: jax.Array
    gradient_p99: jax.Array
    non_finite: NonFinite
    policy_loss: jax.Array
    value_loss: jax.Array
