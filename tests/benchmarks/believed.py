"""What is believed: sound set-ups get their label, faulty ones do not, and own plants are driven better.

Each set-up is a whole job: what its plant did under the policy trained in simulation is recorded in a real
store, refitted with no options, trained, and judged by the gate. Sound: five kinds of plant of a rig owner's
own, one without a gap, one that mostly rests, a user's Brax task. Faulty: motors backwards, zeros at hanging,
velocities in other units or of the wrong sign or always zero, residuals that are not finite, a network fitted
to too little data.

    python -m tests.benchmarks.believed --quick            # two of each kind
    python -m tests.benchmarks.believed                    # 40 sound and 40 faulty ones, half an hour

Prints a line for each set-up, then how many were labelled, and success on the plant before and after.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import sqlalchemy as sa

from real_env.excitation import Excitation
from tests.benchmarks.own_plants import DT, SOUND, OwnPlant
from trainer import compilation_cache
from trainer.checkpoint.reader import read_policy
from trainer.jobs.recipe import run
from trainer.jobs.request import JobRequest, Published
from trainer.store.database import open_database, sqlite_url
from trainer.store.experience import ExperienceStore
from trainer.store.records import COLLECT, SessionInfo, Transition
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
EPISODES, SECONDS = 64, 5.0
USERS = """
import brax.envs
import dataclasses
import jax.numpy as jnp
from trainer.tasks import load_task
from trainer.tasks.brax_task import brax_task

SWINGUP = load_task("cartpole_swingup")
ENV = brax.envs.get_environment("inverted_pendulum", backend="generalized")
UPRIGHT = brax_task(
    ENV, lambda x, u: jnp.concatenate([x[:2], 0.1 * x[2:], 0.1 * u]), episode_steps=50,
    terminated=lambda x: jnp.abs(x[1]) > 0.2, failure=5.0,
)
NOT_A_NUMBER = dataclasses.replace(
    SWINGUP, residual=lambda x, u: jnp.append(SWINGUP.residual(x, u), jnp.sqrt(x[0] + 0.4))
)
"""


@dataclass(frozen=True)
class SetUp:
    """One job; without a plant it is a training in the simulator."""

    kind: str
    seed: int
    sound: bool
    plant: OwnPlant | None = None
    dynamics_model: str = ""
    resting: bool = False
    task: str = TASK.name
    epochs: int = 0


def in_degrees(x: np.ndarray) -> np.ndarray:
    """Return a reading whose pole velocity is in deg/s."""
    return x * np.array([1.0, 1.0, 1.0, 180.0 / np.pi])


def hanging(x: np.ndarray) -> np.ndarray:
    """Return a reading whose pole angle is zero at hanging."""
    return x - np.array([0.0, np.pi, 0.0, 0.0])


WRONG_WIRING = {
    "zero at hanging": hanging,
    "velocity in deg/s": in_degrees,
    "velocity negated": lambda x: x * np.array([1.0, 1.0, 1.0, -1.0]),
    "velocity zero": lambda x: x * np.array([1.0, 1.0, 0.0, 1.0]),
    "pole mirrored": lambda x: x * np.array([1.0, -1.0, 1.0, -1.0]),
}


def sound() -> Iterator[SetUp]:
    """Yield 40 sound set-ups."""
    for seed in range(6):
        for plant in SOUND:
            yield SetUp(plant.name, seed, True, plant)
    for seed in range(4):
        yield SetUp("without a gap", seed, True, OwnPlant("frictionless", scale=0.0))
        yield SetUp("mostly rests", seed, True, SOUND[0], resting=True)
    for seed in range(2):
        yield SetUp("a user's brax_task", seed, True, task="users.py:UPRIGHT", epochs=20)


def faulty() -> Iterator[SetUp]:
    """Yield 40 faulty set-ups."""
    for seed in range(2):
        for plant in SOUND[:4]:
            yield SetUp("motor backwards", seed, False, dataclasses.replace(plant, motor=-1.0))
            yield SetUp("zero at hanging", seed, False, dataclasses.replace(plant, wiring=hanging))
    for kind in ("velocity in deg/s", "velocity negated", "velocity zero", "pole mirrored"):
        for plant in (SOUND[0], SOUND[1], SOUND[3]):
            yield SetUp(kind, 0, False, dataclasses.replace(plant, wiring=WRONG_WIRING[kind]))
    for seed in range(8):
        yield SetUp("network alone", seed, False, SOUND[seed % 4], dynamics_model="black-box")
    for seed in range(2):
        yield SetUp("residual not a number", seed, False, task="users.py:NOT_A_NUMBER")
        yield SetUp("too few epochs", seed, False, epochs=1)


def record(database: str | sa.URL, setup: SetUp, policy: object, spec: object) -> None:
    """Store what the plant did under the policy that was trained in simulation."""
    assert setup.plant is not None
    excite, steps = Excitation(0.3, DT, 1, setup.seed), round(SECONDS / DT)
    extra = np.array([[excite(k)[0] for k in range(steps)]])
    act = (lambda y: np.zeros((len(y), 1))) if setup.resting else acting(spec, policy)
    y, u = setup.plant.drive(act, 0.5 * extra if setup.resting else extra, setup.seed)
    info = SessionInfo("s", setup.task, setup.plant.name, TASK.state_names, TASK.action_names, DT)
    rows = [
        Transition(k, 0, COLLECT, y[0, k], u[0, k], u[0, k], y[0, k + 1], round(k * DT * 1e9), False,
                   k + 1 == steps, "p", 1, "")
        for k in range(steps)
    ]  # fmt: skip
    ExperienceStore(open_database(database)).append(info, rows)


def acting(spec: object, parameters: object):
    """Return `(y[B, n]) -> u[B, 1]` of a policy."""
    apply = jax.jit(spec.apply)  # pyright: ignore[reportAttributeAccessIssue]
    return lambda y: np.asarray(apply(parameters, jnp.asarray(y, jnp.float32)))


def on_plant(plant: OwnPlant, checkpoints: Path, version: str, seed: int) -> float:
    """Return the success of a policy on the plant, whose sensors are as they are."""
    policy = read_policy(checkpoints / version, version)
    spec = policy.metadata.policy
    remembers = spec.features.state_size > len(TASK.state_names)
    silent = np.zeros((EPISODES, TASK.episode_steps))
    y, _ = plant.drive(acting(spec, policy.parameters), silent, 1000 + seed, remembers)
    true = np.cos(y[:, -25:, 1] + (np.pi if plant.wiring is hanging else 0.0))
    return float(np.mean(np.mean(true > 0.95, axis=1) >= 0.9))


def job(checkpoints: Path, database: str | sa.URL, setup: SetUp, refit: bool, parent: str) -> Published:
    """Carry out a job as the worker does."""
    request = JobRequest(
        refit, setup.task, setup.seed, setup.epochs, setup.dynamics_model, None, parent, database, checkpoints
    )
    return run(request, lambda progress: None)


def outcome(setup: SetUp, root: Path, simulated: dict[int, str]) -> tuple[bool, str, float, float]:
    """Return whether it was labelled, why not, and success on the plant before and after."""
    checkpoints = root / "checkpoints"
    with tempfile.TemporaryDirectory() as scratch:
        database = sqlite_url(Path(scratch) / "hds.sqlite")
        before = after = float("nan")
        try:
            if setup.plant is None:
                published = job(checkpoints, database, setup, refit=False, parent="")
            else:
                first = simulated[setup.seed % len(simulated)]
                policy = read_policy(checkpoints / first, first)
                record(database, setup, policy.parameters, policy.metadata.policy)
                before = on_plant(setup.plant, checkpoints, first, setup.seed)
                published = job(checkpoints, database, setup, refit=True, parent=first)
                after = on_plant(setup.plant, checkpoints, published.version, setup.seed)
        except ValueError as error:
            return False, str(error), before, after
    return published.verdict.passed, "; ".join(published.verdict.reasons), before, after


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two of each kind")
    parser.add_argument("--only", choices=("sound", "faulty"), help="only these")
    options = parser.parse_args()
    compilation_cache.enable()
    setups = [*sound(), *faulty()]
    setups = [s for s in setups if options.only is None or s.sound == (options.only == "sound")]
    if options.quick:
        setups = [s for k, s in enumerate(setups) if sum(o.kind == s.kind for o in setups[:k]) < 2]
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "users.py").write_text(USERS)
        os.chdir(root)  # where files of tasks are loaded from
        nothing = SetUp("first", 0, True)
        seeded = (dataclasses.replace(nothing, seed=seed) for seed in range(2))
        simulated = {s.seed: job(root / "checkpoints", "", s, refit=False, parent="").version for s in seeded}
        results = []
        for setup in setups:
            began = time.monotonic()
            labelled, why, before, after = outcome(setup, root, simulated)
            results.append((setup, labelled, before, after))
            verdict = "labelled" if labelled else "refused"
            print(
                f"{'sound ' if setup.sound else 'faulty'} {setup.kind:22} seed {setup.seed}: "
                f"{verdict:8} on the plant "
                f"{before:4.2f} -> {after:4.2f}  {time.monotonic() - began:5.1f} s  {why[:300]}",
                flush=True,
            )
    for kind in (True, False):
        group = [r for r in results if r[0].sound == kind]
        print(f"{'sound' if kind else 'faulty'}: {sum(r[1] for r in group)} of {len(group)} labelled")
    for name in dict.fromkeys(r[0].kind for r in results if r[0].sound and r[0].plant):
        pairs = [(b, a) for s, _, b, a in results if s.kind == name and s.sound]
        before, after = np.array(pairs).T
        print(
            f"{name:22} success {after.mean():.3f}, worst {after.min():.3f}, simulation only "
            f"{before.mean():.3f}; worse than that: {int(np.sum(after < before))} of {len(pairs)}"
        )


if __name__ == "__main__":
    main()
