"""Ensembles: any rung, fitted several times to resampled data; members disagree where data is thin.

Each member sees a block bootstrap of the motions (Künsch, 1989): stretches of time drawn with replacement,
because errors that follow each other are alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.judge import calibrate, least_held_out
from trainer.dynamics.rung import WINDOW_STEPS, Fit, Rung, split
from trainer.dynamics.windows import Motion
from trainer.learning.trajectory import Model
from trainer.tasks.task import Task

BLOCK_STEPS = 2 * WINDOW_STEPS


@dataclass(frozen=True)
class EnsembleRung:
    """`members` fits of `base`.

    The first sees the data as it is, and gives errors and estimates. The others never see what is held
    out, so that their spread can be compared with their error there.
    """

    base: Rung
    members: int = 5

    def __post_init__(self) -> None:
        if self.members < 3:
            raise ValueError(f"an ensemble needs at least 3 members to have a spread; got {self.members}")

    @property
    def name(self) -> str:
        """Return the base's name and `-ensemble`."""
        return f"{self.base.name}-ensemble"

    @property
    def memory(self) -> int:
        """Return the base's."""
        return self.base.memory

    @property
    def extrapolates(self) -> bool:
        """Return whether the base does."""
        return self.base.extrapolates

    def model(self, task: Task) -> Model:
        """Return the base's model: one sample of a batch runs in one member."""
        return self.base.model(task)

    def nothing(self, task: Task) -> Any:
        """Return the base's."""
        return self.base.nothing(task)

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit the base to the data, then to a resampling of it for each further member."""
        key_resample, *keys = jax.random.split(key, self.members + 1)
        random = np.random.default_rng(np.asarray(jax.random.key_data(key_resample)))
        fits, parts = [], split(motions, least_held_out(task))
        for member, key_member in enumerate(keys):
            seen = motions if member == 0 else resampled(parts.fitted, random)
            told = lambda share, member=member: progress((member + share) / self.members)  # noqa: E731
            fits.append(self.base.fit(task, seen, key_member, told))
        members = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(fit.members for fit in fits))
        others = jax.tree.map(lambda leaf: leaf[1:], members)
        calibration = calibrate(self.base, task, others, parts.held_out)
        return Fit(members, fits[0].errors, fits[0].estimates, calibration)


def resampled(motions: list[Motion], random: np.random.Generator) -> list[Motion]:
    """Draw as many blocks as there are, with replacement; one motion each, never joined across a gap."""
    blocks = [
        motion.part(t, t + BLOCK_STEPS)
        for motion in motions
        for t in range(0, max(1, motion.u.shape[0] - BLOCK_STEPS + 1), BLOCK_STEPS)
    ]
    return [blocks[i] for i in random.integers(0, len(blocks), len(blocks))]
