"""Equations of motion, against MuJoCo's own engine in C."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from trainer.compilation import ONCE, compiled
from trainer.models.brax_model import load_system
from trainer.models.physics import nominal, with_parameters
from trainer.models.rigid_tree import RigidTree

ENGINE: Any = mujoco
"""Untyped: its names come from C."""
MIXED = """
<mujoco><option gravity="0.3 0 -9.81"/><worldbody>
  <body pos="0.1 0.2 0.3" euler="10 20 30">
    <joint axis="1 0 0" pos="0.05 0.01 0" damping="0.1" armature="0.02"/>
    <joint axis="0 1 0" pos="0.05 0.01 0" stiffness="0.3"/>
    <geom type="capsule" size="0.03" fromto="0 0 0 0.1 0 0.4"/>
    <body pos="0.1 0 0.4" euler="0 40 0">
      <joint type="slide" axis="0 0.6 0.8"/><geom type="box" size="0.1 0.05 0.02" pos="0 0.1 0"/>
      <body pos="0 0 0.2"><joint axis="0.6 0 0.8" pos="0 0 0.02"/>
        <geom type="capsule" size="0.03" fromto="0 0 0 0 0.2 0.1"/></body>
    </body>
    <body pos="0 0 0.4"><joint axis="0 0 1"/>
      <geom type="capsule" size="0.03" fromto="0 0 0 0 0.2 0.1"/></body>
  </body>
</worldbody></mujoco>
"""
CHAIN = """
<mujoco><worldbody><body><joint type="slide" axis="1 0 0"/><geom size="0.1"/>
  <body><joint axis="0 1 0"/><geom type="capsule" size="0.05" fromto="0 0 0 0 0 0.6"/>
    <body pos="0 0 0.6"><joint axis="0 1 0"/><geom type="capsule" size="0.05" fromto="0 0 0 0 0 0.6"/></body>
  </body></body></worldbody></mujoco>
"""


@pytest.mark.parametrize(
    "xml", [MIXED, CHAIN], ids=["stacked, branching, oblique", "double pendulum on a cart"]
)
@pytest.mark.parametrize("heavier", [1.0, 1.7])
def test_accelerations_and_energy_are_those_of_mujoco(xml: str, heavier: float) -> None:
    reference = ENGINE.MjModel.from_xml_string(xml)
    reference.body_mass[:] *= heavier
    reference.body_inertia[:] *= heavier
    data = ENGINE.MjData(reference)
    system = load_system(xml)

    def accelerated(
        mass: jax.Array, q: jax.Array, qd: jax.Array, tau: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        physics = nominal(system.qd_size(), 0, system.num_links())._replace(mass=mass)
        tree = RigidTree(with_parameters(physics, system), q, qd)
        return jnp.stack(tree.acceleration(tau)), jnp.asarray(tree.energy())

    ours, rng = compiled(accelerated, ONCE), np.random.default_rng(0)
    for _ in range(5):
        q, qd, tau = (rng.normal(size=system.qd_size()) for _ in range(3))
        data.qpos[:], data.qvel[:], data.qfrc_applied[:] = q, qd, tau
        ENGINE.mj_forward(reference, data)
        ENGINE.mj_energyPos(reference, data)
        ENGINE.mj_energyVel(reference, data)
        found, energy = ours(jnp.full(system.num_links(), heavier), *(jnp.asarray(v) for v in (q, qd, tau)))
        np.testing.assert_allclose(found, data.qacc, rtol=1e-3, atol=1e-3 * np.abs(data.qacc).max())
        np.testing.assert_allclose(energy, data.energy.sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (CHAIN.replace('<joint type="slide" axis="1 0 0"/>', "<freejoint/>"), "slide and hinge joints only"),
        (CHAIN.replace("<worldbody>", '<option density="1"/><worldbody>'), "no fluid forces here"),
    ],
    ids=["free joint", "fluid"],
)
def test_what_it_cannot_do_is_refused_in_words(xml: str, words: str) -> None:
    system = load_system(xml)
    at_rest = jnp.zeros(system.qd_size())
    with pytest.raises(ValueError, match=re.escape(words)):
        RigidTree(system, at_rest, at_rest)
