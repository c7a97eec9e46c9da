"""Ensembles: a dynamics model, fitted several times to resampled data. Members differ where data are scarce.

Each member is fitted to a block bootstrap of the segments (Künsch, 1989): blocks of time drawn with
replacement, since consecutive errors are correlated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.dynamics_model import WINDOW_STEPS, Delegating, DynamicsModel, Fit, split
from trainer.dynamics.validation import calibrate, least_held_out
from trainer.dynamics.windows import Segment
from trainer.tasks.task import Task

BLOCK_STEPS = 2 * WINDOW_STEPS


@dataclass(frozen=True)
class EnsembleDynamics(Delegating):
    """`members` fits of `base`.

    The first is fitted to the data themselves and gives errors and estimates. The others are never fitted to
    held-out data, so that the calibration compares their standard deviation with their error there.
    """

    base: DynamicsModel
    members: int = 5

    def __post_init__(self) -> None:
        if self.members < 3:
            raise ValueError(f"an ensemble needs at least 3 members; got {self.members}")

    @property
    def name(self) -> str:
        """Return the base's name and `-ensemble`."""
        return f"{self.base.name}-ensemble"

    def fit(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit the base to the data, then to a resampling for each further member."""
        key_resample, *keys = jax.random.split(key, self.members + 1)
        random = np.random.default_rng(np.asarray(jax.random.key_data(key_resample)))
        fits, parts = [], split(segments, least_held_out(task))
        for member, key_member in enumerate(keys):
            seen = segments if member == 0 else resampled(parts.fitted, random)
            on_progress = lambda share, member=member: progress((member + share) / self.members)  # noqa: E731
            fits.append(self.base.fit(task, seen, key_member, on_progress))
        members = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(fit.members for fit in fits))
        others = jax.tree.map(lambda leaf: leaf[1:], members)
        calibration = calibrate(self.base, task, others, parts.held_out)
        return Fit(members, fits[0].errors, fits[0].estimates, calibration)


def resampled(segments: list[Segment], random: np.random.Generator) -> list[Segment]:
    """Draw as many blocks as there are, with replacement; each is a segment of its own."""
    blocks = [
        segment.part(t, t + BLOCK_STEPS)
        for segment in segments
        for t in range(0, max(1, segment.u.shape[0] - BLOCK_STEPS + 1), BLOCK_STEPS)
    ]
    return [blocks[i] for i in random.integers(0, len(blocks), len(blocks))]
