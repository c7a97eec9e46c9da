"""One epoch over several devices. JAX fixes their number at start-up, so a process of its own runs it."""

import json
import os
import subprocess
import sys

PROGRAM = """
import json
import jax, jax.numpy as jnp, numpy as np
from trainer.learning.sharding import batch_mesh, shard
from tests.support.parking import CONFIG, learner
from trainer.learning.direction import gauss_newton
from trainer.learning.search import line_search

algorithm = learner(gauss_newton(0.1), line_search((1.0, 0.3)))
state, theta = algorithm.init(jax.random.key(0)), jnp.full(CONFIG.batch, 0.1)
at, key = 0, jax.random.key(1)
alone, told_alone = algorithm.step(state, theta, at, key)
mesh = batch_mesh(CONFIG.batch)
together, told = algorithm.step(*shard(mesh, state, theta), at, key)
print(json.dumps({
    "devices": len(together.x.sharding.device_set),
    "split": not together.x.sharding.is_fully_replicated,
    "x": float(jnp.max(jnp.abs(alone.x - jax.device_get(together.x)))),
    "cost": [float(told_alone.scalars["cost_per_step"]), float(told.scalars["cost_per_step"])],
    "loss": [float(told_alone.scalars["policy_loss"]), float(told.scalars["policy_loss"])],
    "uneven": batch_mesh(6).size,
}))
"""


def test_an_epoch_sharded_over_four_devices_equals_the_epoch_of_one() -> None:
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 4
    assert found["split"]
    assert found["x"] < 1e-5
    assert abs(found["cost"][0] - found["cost"][1]) < 1e-5
    assert abs(found["loss"][0] - found["loss"][1]) < 1e-4
    assert found["uneven"] == 3
