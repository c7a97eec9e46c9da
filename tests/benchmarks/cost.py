"""What the simulator and learning cost: steps per second, memory, compilation.

    python -m tests.benchmarks.cost [--quick] [--task cartpole_swingup]

First the model alone, forward and with its Jacobians, for batches of 1 to 16384 states, beside the same step
with Brax's own equations of motion; memory is what XLA sets aside for the compiled function. Then
seconds of tracing, lowering and compiling, as JAX reports them, of a whole training and refit, nothing
compiled before.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.brax_dynamics import brax_dynamics
from trainer.dynamics.catalogue import load_dynamics
from trainer.dynamics.windows import Segment
from trainer.jobs.learner import Learner, learner
from trainer.jobs.recipe import Training
from trainer.learning.configuration import configuration
from trainer.learning.hds import make_hds
from trainer.learning.trajectory import rollout
from trainer.models.brax_model import no_force
from trainer.models.model import Model
from trainer.tasks import load_task
from trainer.tasks.task import Task

BATCHES = tuple(4**k for k in range(8))
LEAST_SECONDS = 0.5
MEBIBYTE = 2**20


class Compiling:
    """Seconds that JAX spent tracing, lowering and compiling."""

    def __init__(self) -> None:
        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        if "/jax/core/compile/" in event:
            self.seconds += duration_secs


def jacobian(model: Model) -> Model:
    """Return `(theta, x, u) -> (A, B)`, in forward mode as learning takes it."""
    return lambda theta, x, u: jax.jacfwd(lambda x, u: model(theta, x, u), (0, 1))(x, u)  # pyright: ignore[reportReturnType]


def measure(step: Callable[..., Any], task: Task, batch: int) -> tuple[float, float, float]:
    """Return steps per second, MiB of temporary memory and seconds of compilation for one batch."""
    x = jax.vmap(task.explore)(jax.random.split(jax.random.key(0), batch))
    u = jnp.zeros((batch, len(task.action_names)))
    began = time.perf_counter()
    compiled = jax.jit(jax.vmap(lambda x, u: step(None, x, u))).lower(x, u).compile()
    compiling = time.perf_counter() - began
    jax.block_until_ready(compiled(x, u))
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < LEAST_SECONDS:
        jax.block_until_ready(compiled(x, u))
        calls += 1
    rate = calls * batch / (time.perf_counter() - began)
    memory = compiled.memory_analysis()
    assert memory is not None, "XLA knows the memory of every compiled function on CPU and GPU"
    return rate, memory.temp_size_in_bytes / MEBIBYTE, compiling


def model_table(task: Task, batches: tuple[int, ...]) -> None:
    """Print rate, memory and compilation of the model, per batch."""
    ours, theirs = task.model(no_force, 1), brax_dynamics(task)
    functions = {
        "forward": (ours, theirs),
        "Jacobian": (jacobian(ours), jacobian(theirs)),
    }
    print(f"{'':9} {'batch':>6} {'steps/s':>10} {'MiB':>7} {'compile [s]':>11}   Brax's equations: the same")
    for name, pair in functions.items():
        for batch in batches:
            (rate, memory, compiling), (rate_b, memory_b, compiling_b) = (
                measure(step, task, batch) for step in pair
            )
            print(
                f"{name:9} {batch:6} {rate:10.0f} {memory:7.2f} {compiling:11.2f}   {rate_b:10.0f} "
                f"{memory_b:7.2f} {compiling_b:11.2f}   {rate / rate_b:5.1f} times as fast",
                flush=True,
            )


def cold_loop(task: Task) -> None:
    """Print what a first training and a refit compile."""
    compiling = Compiling()

    def told(what: str, act: Callable[[], Any]) -> Any:
        before, began = compiling.seconds, time.perf_counter()
        found = act()
        print(
            f"{what}: {compiling.seconds - before:.1f} s of compilation, {time.perf_counter() - began:.1f} s "
            "in all",
            flush=True,
        )
        return found

    def trained(parts: Learner, fit: Any) -> Any:
        fraction = 0.0 if fit is None else 1.0
        config = configuration({"training": {"epochs": 4, "rounds": 1}})
        training = Training(parts, make_hds(parts.problem(config)), config.training)
        return training.run(fit, fraction, jax.random.key(0), None, lambda progress: None, {})

    def segment() -> Segment:
        model, key = task.model(no_force, 1), jax.random.key(0)
        u = jax.random.uniform(key, (100, len(task.action_names)), minval=-1.0)
        trajectory = rollout(model, None, lambda t, x: u[t], task.reset(key), len(u))
        return Segment(np.asarray(trajectory.x), np.asarray(trajectory.u))

    chosen = load_dynamics("")
    parts = learner(task, chosen)
    told("training in simulation, 4 epochs", lambda: trained(parts, None))
    data = segment()
    fit = told(
        "fitting the default dynamics", lambda: chosen.fit(task, [data], jax.random.key(1), lambda s: None)
    )
    told("training with them, 4 epochs", lambda: trained(parts, fit))
    print(f"nothing compiled before, in all: {compiling.seconds:.1f} s of compilation")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="cartpole_swingup")
    parser.add_argument("--quick", action="store_true", help="batches of 1, 64 and 4096 only")
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    task = load_task(options.task)
    cold_loop(task)
    model_table(task, (1, 64, 4096) if options.quick else BATCHES)


if __name__ == "__main__":
    main()
