"""Features of a state: declarative data, so that any process can rebuild a policy without the task.

Notation
    x   state (q, qd)                          [n]   SI units
    z   features                               [f]   about one in size
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class FeatureSpec:
    """Map x[n] to z[f]: `x / scale`, but an angle becomes `(sin, cos)`.

    Attributes:
        state_size: n.
        angles: indices of x that are angles [rad].
        scale: n divisors, one per component of x, > 0; an angle's is not used.
    """

    state_size: int
    angles: tuple[int, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scale) != self.state_size or min(self.scale) <= 0:
            raise ValueError(
                f"scale must hold {self.state_size} numbers > 0, one per state; got {self.scale}"
            )
        if not set(self.angles) <= set(range(self.state_size)):
            raise ValueError(f"angles must be indices in 0 … {self.state_size - 1}; got {self.angles}")

    @property
    def size(self) -> int:
        """Number of features, f."""
        return self.state_size + len(self.angles)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return z[..., f] of x[..., n]."""
        straight = tuple(i for i in range(self.state_size) if i not in self.angles)
        angles = _columns(x, self.angles)
        linear = _columns(x, straight) / np.asarray([self.scale[i] for i in straight], x.dtype)
        return jnp.concatenate([linear, jnp.sin(angles), jnp.cos(angles)], axis=-1)

    def carry_over(self, kernel: jax.Array, old: "FeatureSpec") -> jax.Array:
        """Return the first layer `kernel[f_old, w]` of a network over `old` features, for these, [f, w].

        States that only these features have (appended at the end of x, and no angles) get weight 0, those
        that only `old` had are dropped: the network goes on with what both know.

        Raises:
            ValueError: if the states that both have are seen differently.
        """
        both = min(self.state_size, old.state_size)
        if self.angles != old.angles or self.scale[:both] != old.scale[:both]:
            raise ValueError(
                f"features {self} can't carry on from {old}: they see the same states differently"
            )
        ends = [spec.state_size - len(spec.angles) for spec in (self, old)]
        straight = kernel[: min(ends)]
        unseen = jnp.zeros((ends[0] - len(straight), kernel.shape[1]), kernel.dtype)
        return jnp.concatenate([straight, unseen, kernel[ends[1] :]])


def _columns(x: jax.Array, indices: tuple[int, ...]) -> jax.Array:
    """Return `x[..., indices]`, as slices of neighbours: these compile sooner than a gather."""
    runs: list[list[int]] = []
    for i in indices:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return jnp.concatenate([x[..., run[0] : run[-1] + 1] for run in runs] or [x[..., :0]], axis=-1)
