"""How much of the gap is closed, by how many seconds of real data?

    python -m tests.benchmarks.gap [--quick] [--plants default] [--seeds 0 1 …] [--out gap.jsonl]

For every plant, seed and method: train in simulation, record data with that policy (and small random
steps), fit, train once more with the same budget, and judge on the plant, 128 episodes each. Methods
differ in the data and the dynamics only. Finished runs are kept in `--out` and skipped next time; the
table at the end is made from that file: success, cost, and

    GC = (J_method − J_simulation) / (J_oracle − J_simulation),

the mean over seeds with its 95 % bootstrap interval, J the mean cost; a seed counts only if its
denominator is beyond two standard errors. `simulation` and `randomised` use no data, `oracle` the true
parameters in the trainer's smooth law.
"""

import argparse
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from real_env.excitation import Excitation
from real_env.plants.brax_friction import START, START_SPREAD, FrictionConstants
from tests.benchmarks.loop_in_process import EPISODES, train
from tests.benchmarks.study_plants import PlantState, Step, StudyPlant, study_plant
from trainer import compilation_cache
from trainer.dynamics.catalogue import DYNAMICS, fit_best, held_out_error, load_dynamics
from trainer.dynamics.dynamics_model import Fit
from trainer.dynamics.windows import Segment
from trainer.jobs.learner import Learner, learner, stacked
from trainer.jobs.request import Progress
from trainer.learning.evaluation import evaluate_episode
from trainer.learning.hds import NETWORKS
from trainer.learning.training import Best
from trainer.models.friction import Friction
from trainer.policy.network import PolicySpec
from trainer.tasks import load_task
from trainer.tasks.task import Task

PLANTS = ("default", "stronger", "late-noisy", "heavy-pole", "lugre")
SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0)
MOTION_SECONDS = 5.0
TASK_NAME = "cartpole_swingup"
BOOTSTRAPS = 2000


class Run(NamedTuple):
    """One line of the results.

    `steepest` is the largest 99th percentile of gradient norms in any epoch of the last training,
    `not_finite` how many of its steps were left out because a number was not finite.
    """

    plant: str
    seed: int
    method: str
    seconds: float
    success: float
    cost: float
    cost_error: float
    held_out_error: float
    steepest: float = float("nan")
    not_finite: float = 0.0


def drive(
    plant: StudyPlant,
    parts: Learner,
    parameters: Any,
    starts: np.ndarray,
    excitation: np.ndarray,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return x[B, T + 1, 4], its observations y, and u[B, T, 1] of closed-loop episodes."""
    keys = jax.random.split(key, len(excitation) + 1)
    episodes = _episodes(plant.step, parts.policy, parts.dynamics.action_history > 0)
    return episodes(
        plant.constants,
        plant.noise,
        parameters,
        jnp.asarray(starts, jnp.float32),
        jnp.asarray(excitation, jnp.float32),
        keys,
    )


@functools.cache
def _episodes(step: Step, policy: PolicySpec, remembers: bool) -> Callable[..., tuple]:
    """Return the compiled loop of a kind of plant and a policy; compiling takes longer than a training."""

    @jax.jit
    def episodes(
        constants: FrictionConstants, noise: jax.Array, parameters: Any, starts: jax.Array,
        excitation: jax.Array, keys: jax.Array,
    ) -> tuple:  # fmt: skip
        see = lambda x, key: x + noise * jax.random.normal(key, x.shape)  # noqa: E731

        def tick(carry: tuple, now: tuple) -> tuple:
            state, y = carry
            extra, key = now
            seen = jnp.concatenate([y, state.u_last], axis=1) if remembers else y
            u = jnp.clip(policy.apply(parameters, seen) + extra, -1.0, 1.0)
            state = step(constants, state, u)
            y = see(state.x, key)
            return (state, y), (state.x, y, u)

        batch = starts.shape[0]
        first = PlantState(starts, jnp.zeros((batch, 1)), jnp.zeros((batch, 2)))
        y = see(starts, keys[0])
        _, (x, seen, u) = jax.lax.scan(tick, (first, y), (excitation, keys[1:]))
        along = lambda start, rest: jnp.concatenate([start[:, None], jnp.swapaxes(rest, 0, 1)], axis=1)  # noqa: E731
        return along(starts, x), along(y, seen), jnp.swapaxes(u, 0, 1)

    return episodes


def record(plant: StudyPlant, parts: Learner, best: Best, seconds: float, seed: int) -> list[Segment]:
    """Record motions of up to 5 s each, `seconds` in all, as real_env's collect phase does."""
    segments, left, number = [], round(seconds / parts.task.control_dt), 0
    longest = round(MOTION_SECONDS / parts.task.control_dt)
    while left > 0:
        steps = min(left, longest)
        excite = Excitation(0.3, parts.task.control_dt, 1, seed + number)
        spread = np.random.default_rng(seed + number).uniform(-START_SPREAD, START_SPREAD, (1, 4))
        extra = np.stack([excite(k)[None] for k in range(longest)])  # one length, compiled once
        _, y, u = drive(plant, parts, best.policy, START + spread, extra, jax.random.key(seed + number))
        segments.append(Segment(np.asarray(y[0, : steps + 1]), np.asarray(u[0, :steps])))
        left, number = left - steps, number + 1
    return segments


def judge(plant: StudyPlant, parts: Learner, best: Best) -> tuple[float, float, float]:
    """Return success, mean cost and its standard error over 128 episodes, the same starts for all."""
    spread = np.random.default_rng(1).uniform(-START_SPREAD, START_SPREAD, (EPISODES, 4))
    silent = np.zeros((parts.task.episode_steps, EPISODES, 1))
    x, _, u = drive(plant, parts, best.policy, START + spread, silent, jax.random.key(99))
    found = jax.vmap(lambda x, u: evaluate_episode(parts.task, x, u))(x, u)
    cost = np.asarray(found.cost)
    return float(np.mean(found.success)), float(cost.mean()), float(cost.std() / np.sqrt(len(cost)))


def randomised(count: int, seed: int) -> Fit:
    """Return frictions drawn widely: up to 20 N·s/m and 40 N on the cart, a fiftieth of that on the hinge."""
    draw = np.random.default_rng(seed).uniform(size=(3, count, 2)) * np.array([1.0, 0.02])
    viscous, dry, excess = (
        jnp.asarray(part * most) for part, most in zip(draw, (20.0, 40.0, 20.0), strict=True)
    )
    law = Friction(viscous, dry, excess, jnp.full((count, 2), 0.1))
    nothing = load_dynamics("").nominal_parameters(load_task(TASK_NAME))
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), nothing)
    return Fit(many._replace(friction=law), {}, {})


def retrain(
    plant: StudyPlant, task: Task, simulated: Best, method: str, seconds: float, seed: int, told: "Stability"
) -> tuple[Learner, Best, float]:
    """Carry out one method; return what it learned with, its policy, and its held-out error."""
    name, _, share = method.partition("@")
    fraction = float(share or 1.0)
    first = learner(task, load_dynamics(""))
    if name == "simulation":
        return first, train(first, None, 0.0, seed, simulated, told), float("nan")
    if name == "randomised":
        return first, train(first, randomised(64, seed), 1.0, seed, simulated, told), float("nan")
    if name == "oracle":
        plain = bool(jnp.all(plant.truth.mass == 1.0)) and float(plant.truth.delay) == 0.0
        parts = learner(task, load_dynamics("friction" if plain else "physics"))
        fit = Fit(stacked(plant.truth), {}, {})
    else:
        segments, key = record(plant, first, simulated, seconds, 1000 * seed + 7), jax.random.key(seed)
        if name == "auto":
            choice = fit_best(task, segments, key, lambda share: None)
            chosen, fit = choice.dynamics, choice.fit
        else:
            chosen = load_dynamics(name)
            fit = chosen.fit(task, segments, key, lambda share: None)
        parts = learner(task, chosen)
    start = carried(simulated, first, parts)
    return parts, train(parts, fit, fraction, seed, start, told), held_out_error(fit)


class Stability:
    """Hears a training's progress, and keeps what tells whether it was stable."""

    def __init__(self) -> None:
        self.steepest, self.not_finite = float("nan"), 0.0

    def __call__(self, progress: Progress) -> None:
        """Take one report."""
        self.steepest = float(np.fmax(self.steepest, progress.metrics.get("gradient_norm_p99", np.nan)))
        self.not_finite = progress.metrics.get("left_out_steps", 0.0)


def carried(best: Best, old: Learner, new: Learner) -> Best:
    """Return `best` for the new learner's features, as a job's warm start does."""

    def move(path: tuple, leaf: jax.Array) -> jax.Array:
        first_layer = jax.tree_util.keystr(path[-2:], simple=True) == "Dense_0kernel"
        return new.policy.features.carry_over(leaf, old.policy.features) if first_layer else leaf

    networks = {name: jax.tree_util.tree_map_with_path(move, getattr(best.state, name)) for name in NETWORKS}
    return best._replace(state=best.state._replace(**networks))


def table(runs: list[Run]) -> None:
    """Print one line per plant, method and seconds of data."""
    baseline = {(r.plant, r.seed, r.method): r for r in runs if r.method in {"simulation", "oracle"}}
    keys = sorted({(PLANTS.index(r.plant), r.method, r.seconds) for r in runs})
    print(f"{'plant':12} {'method':20} {'data [s]':>8} {'seeds':>5} {'success mean':>12} {'worst':>6} "
          f"{'cost':>6} {'sd':>5} {'GC':>6}  95 % interval  gradient p99, steps not finite")  # fmt: skip
    for at, method, seconds in keys:
        plant = PLANTS[at]
        group = [r for r in runs if (r.plant, r.method, r.seconds) == (plant, method, seconds)]
        success = [r.success for r in group]
        closed = []
        for r in group:
            sim, best = (baseline.get((plant, r.seed, name)) for name in ("simulation", "oracle"))
            if sim is None or best is None:
                continue
            error = np.hypot(sim.cost_error, best.cost_error)
            if sim.cost - best.cost > 2.0 * error:
                closed.append((sim.cost - r.cost) / (sim.cost - best.cost))
        draws = (
            np.random.default_rng(0).choice(closed, (BOOTSTRAPS, len(closed))).mean(axis=1) if closed else []
        )
        low, high = np.percentile(draws, [2.5, 97.5]) if closed else (np.nan, np.nan)
        cost, mean = np.mean([r.cost for r in group]), np.mean(closed) if closed else np.nan
        print(
            f"{plant:12} {method:20} {seconds:8g} {len(group):5} {np.mean(success):12.3f} "
            f"{min(success):6.2f} {cost:6.1f} {np.std([r.cost for r in group]):5.1f} {mean:6.2f}  "
            f"{low:.2f} to {high:.2f} ({len(closed)} seeds)  {np.nanmax([r.steepest for r in group]):8.0f} "
            f"{sum(r.not_finite for r in group):.0f}"
        )


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plants", nargs="+", default=["default"], choices=PLANTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--seconds", type=float, nargs="+", default=list(SECONDS))
    fractions = [f"friction@{share:g}" for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)]
    methods = ["simulation", "randomised", "oracle", *DYNAMICS, *fractions, "auto"]
    parser.add_argument("--methods", nargs="+", default=methods, help="NAME or NAME@learned_fraction")
    parser.add_argument(
        "--quick", action="store_true", help="two seeds, 5 s of data, the methods that matter most"
    )
    parser.add_argument("--out", type=Path, default=Path("gap.jsonl"))
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.seconds = options.seeds[:2], [5.0]
        options.methods = ["simulation", "oracle", "friction"]
    compilation_cache.enable()
    runs = (
        [Run(**json.loads(line)) for line in options.out.read_text().splitlines()]
        if options.out.exists()
        else []
    )
    done = {run[:4] for run in runs}
    task = load_task(TASK_NAME)
    for seed in options.seeds:
        simulated = None
        for plant_name in options.plants:
            plant = study_plant(plant_name, seed)
            for method in options.methods:
                without_data = method in {"simulation", "randomised", "oracle"}
                for seconds in [0.0] if without_data else options.seconds:
                    if (plant_name, seed, method, seconds) in done:
                        continue
                    simulated = simulated or train(learner(task, load_dynamics("")), None, 0.0, seed, None)
                    told = Stability()
                    parts, best, error = retrain(plant, task, simulated, method, seconds, seed, told)
                    scores = judge(plant, parts, best)
                    stable = (told.steepest, told.not_finite)
                    run = Run(plant_name, seed, method, seconds, *scores, error, *stable)
                    with options.out.open("a") as out:
                        out.write(json.dumps(run._asdict()) + "\n")
                    runs.append(run)
                    print(run, flush=True)
    table(runs)


if __name__ == "__main__":
    main()
