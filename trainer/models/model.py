"""A model of one control step: simulator, dynamics model, or any mixture.

Notation
    theta  parameters of the model of one trajectory   pytree
    x, u   state and action                            [n], [m]
"""

from collections.abc import Callable
from typing import Any

import jax

Theta = Any
Model = Callable[[Theta, jax.Array, jax.Array], jax.Array]
"""`(theta, x[n], u[m]) -> x_next[n]` over one control step."""
