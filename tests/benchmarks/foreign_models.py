"""What others bring: the models of dm_control's suite and of Gymnasium as plants, Brax environments as tasks.

    python -m tests.benchmarks.foreign_models

Each is loaded and moved for a moment, or refused with one line; anything else is counted as a failure, and
the exit status is then 1. dm_control's models are taken from its package, which pip fetches into a scratch
directory without what it depends on. Brax's compilations take some minutes on two cores.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import brax.envs
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from real_env.plants import make_plant
from trainer.compilation import ONCE, compiled
from trainer.models.force import no_force
from trainer.tasks.brax_task import brax_task

BACKENDS = ("generalized", "spring", "positional", "mjx")
STEPS = 25


def main() -> int:
    """Try all, print a line for each, and return the exit status."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for path in (*_suite(Path(scratch)), *_gymnasium()):
            counts[_told(f"plant {path.stem}", lambda path=path: _drive(path))] += 1
    for name in sorted(brax.envs._envs):
        for backend in BACKENDS:
            counts[_told(f"task {name}, {backend}", lambda n=name, b=backend: _step(n, b))] += 1
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    return int(counts["failed"] > 0)


def _suite(scratch: Path) -> list[Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    subprocess.run([*command, "dm_control"], check=True)
    (wheel,) = scratch.glob("dm_control*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch)
    return sorted((scratch / "dm_control" / "suite").glob("*.xml"))


def _gymnasium() -> list[Path]:
    return sorted((Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets").glob("*.xml"))


def _told(what: str, attempt: Callable[[], str]) -> str:
    """Print what came of an attempt, and return it in a word."""
    try:
        found, outcome = attempt(), "runs"
    except ValueError as error:
        found, outcome = str(error), "refused" if len(str(error).splitlines()) == 1 else "failed"
    except Exception as error:  # whatever a foreign model makes a library raise is what is looked for here
        found, outcome = f"{type(error).__name__}: {error}", "failed"
    print(f"{outcome:8} {what}: {found}", flush=True)
    return outcome


def _drive(path: Path) -> str:
    plant, chance = make_plant(f"mujoco:{path}", 0), np.random.default_rng(0)
    x = plant.reset().x
    for _ in range(STEPS):
        command = chance.uniform(-0.3, 0.3, len(plant.spec.action_names)).astype(np.float32)
        x = plant.exchange(command).x
    if not np.all(np.isfinite(x)):
        raise RuntimeError(f"a state is not finite: {x}")
    spec = plant.spec
    return f"{len(spec.state_names)} states, {len(spec.action_names)} actions, {spec.control_dt:g} s"


def _step(name: str, backend: str) -> str:
    env = brax.envs.get_environment(name, backend=backend)
    task = brax_task(env, lambda x, u: jnp.concatenate([x, u]), episode_steps=STEPS)
    model = task.model(no_force, 1)

    def steps(key: jax.Array) -> jax.Array:
        u = jnp.zeros(len(task.action_names))
        return jax.lax.scan(lambda x, _: (model((), x, u), None), task.reset(key), None, 3)[0]

    x = compiled(steps, ONCE)(jax.random.key(0))
    if not bool(jnp.all(jnp.isfinite(x))):
        raise RuntimeError(f"a state is not finite: {x}")
    return f"{len(task.state_names)} states, {len(task.action_names)} actions, {task.control_dt:g} s"


if __name__ == "__main__":
    sys.exit(main())
