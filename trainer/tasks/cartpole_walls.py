"""Swing the pole up on a rail that ends at ± 1 m in rubber stops.

State, action, cost, start states and success are those of `cartpole_swingup`. The stops have
20 kN/m: at 3 m/s the cart presses them in by 7 cm within some 40 ms, one control step.
"""

import dataclasses

import jax

from trainer.models.bumper import Bumper
from trainer.models.force import Force, SystemTransform, identity
from trainer.tasks import cartpole_swingup
from trainer.tasks.task import Simulator

STOPS = Bumper(end=1.0, stiffness=20e3, dissipation=0.3)
SUBSTEPS = 4


def _model(force: Force, substeps: int, system_transform: SystemTransform = identity) -> Simulator:
    def with_stops(theta: object, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        return force(theta, q, qd, u).at[0].add(STOPS.force(q[0], qd[0]))

    return cartpole_swingup.TASK.model(with_stops, max(substeps, SUBSTEPS), system_transform)


TASK = dataclasses.replace(cartpole_swingup.TASK, name="cartpole_walls", model=_model)
