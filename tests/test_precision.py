"""Double precision by choice, which JAX takes at start-up: a process of its own."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax, jax.numpy as jnp
import numpy as np
from tests.support.parking import CONFIG, learner
from trainer.dynamics.physics_dynamics import PhysicsDynamics
from trainer.dynamics.windows import Segment
from trainer.compilation import ONCE, compiled
from trainer.learning.direction import gauss_newton
from trainer.learning.search import annealing
from trainer.learning.trajectory import replay
from trainer.models.force import no_force
from trainer.tasks import load_task

task = load_task("pendulum")
model, u = task.model(no_force, 1), jnp.sin(jnp.arange(60.0))[:, None]
x = compiled(lambda x: replay(model, None, x, u), ONCE)(task.reset(jax.random.key(0)))
algorithm = learner(gauss_newton(0.1), annealing((1.0, 0.3)))
state, info = algorithm.step(
    algorithm.init(jax.random.key(0)), jnp.zeros(CONFIG.batch), 0, jax.random.key(1)
)
leaves = jax.tree.leaves({"x": x, "state": state._asdict(), "info": info})
segments = [Segment(np.asarray(x), np.asarray(u))]
fit = PhysicsDynamics().fit(task, segments, jax.random.key(0), lambda share: None)
leaves += jax.tree.leaves(fit.members)
leaves = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
print(sorted({leaf.dtype.name for leaf in leaves}))
"""


@pytest.mark.parametrize(("choice", "dtype"), [("0", "float32"), ("1", "float64")])
def test_everything_that_learning_touches_has_the_chosen_precision(choice: str, dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"JAX_ENABLE_X64": choice},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"['{dtype}']"
