"""Run one learner with one seed on `cartpole_swingup`; print a JSON line per evaluation.

Called by `learning_speed`. Seconds are those of this process from the start of the learner, evaluations
left out; seconds of tracing, lowering and compiling, as JAX reports them, are told apart.
"""

import argparse
import dataclasses
import functools
import json
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.brax_dynamics import brax_dynamics
from trainer.compilation import side_by_side
from trainer.dynamics.catalogue import load_dynamics
from trainer.jobs.hyper_parameters import SIMULATION_EPOCHS
from trainer.jobs.learner import learner, stacked
from trainer.learning.configuration import Configuration, configuration, merged
from trainer.learning.hds import make_hds, mixture
from trainer.models.brax_model import no_force
from trainer.models.model import Model
from trainer.tasks import load_task

EPISODES = 256
SOLVED = 0.95
HELD = 3
"""A learner is stopped after this many evaluations in a row at or above SOLVED."""
ALGORITHMS = ("hds", "pods", "job", "shac", "ppo", "apg", "sac", "shac@brax", "ppo@brax")
"""`@brax`: with Brax's own equations of motion instead of ours, which are the same to rounding."""
SMALL = {"pods": {"batch": 16, "minibatch": 32, "regression_steps": 50}, "hds": {"learning_rate": 6e-3}}
"""Sizes and learning rate for this task, as the other learners' are; the defaults serve harder plants."""
KEYS_APART = 1000
"""Between the seeds that draw networks and those that draw everything else."""
TASK = load_task("cartpole_swingup")
HIDDEN = Configuration().network.policy_hidden


class Stopwatch:
    """Seconds since the start without evaluations, and how many of them JAX spent compiling."""

    def __init__(self) -> None:
        self._start, self._evaluating, self._in_evaluation = time.perf_counter(), 0.0, False
        self._compiled: list[tuple[float, float]] = []
        self._left_out = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        """Note when something was traced, lowered or compiled; what that did inside of itself counts once."""
        if "/jax/core/compile/" in event and not self._in_evaluation:
            end = time.perf_counter()
            begin = end - duration_secs
            while self._compiled and self._compiled[-1][0] >= begin:
                self._compiled.pop()
            if self._compiled:
                begin = max(begin, self._compiled[-1][1])
            self._compiled.append((begin, end))

    def evaluating(self, evaluate: Callable[[], Any]) -> Any:
        """Return what `evaluate` gives; its time does not count."""
        began, self._in_evaluation = time.perf_counter(), True
        found = evaluate()
        self._evaluating += time.perf_counter() - began
        self._in_evaluation = False
        return found

    def exclude(self, seconds: float) -> None:
        """Leave out `seconds` of evaluation that a library did inside its own loop.

        It compiled that evaluation before anything else, so no more can have been compiled than the
        seconds that are left.
        """
        self._evaluating += seconds
        _, computing = self.read()
        self._left_out += min(0.0, computing)

    def read(self) -> tuple[float, float]:
        """Return seconds with and without compilation."""
        total = time.perf_counter() - self._start - self._evaluating
        compiling = sum(end - begin for begin, end in self._compiled) + self._left_out
        return total, total - compiling


class Teller:
    """Prints evaluations; `told` says whether the learner may stop."""

    def __init__(self, algorithm: str, seed: int, budget: float) -> None:
        self.watch, self._said, self._held, self._budget = Stopwatch(), (algorithm, seed), 0, budget

    def told(self, steps: int, evaluations: int, success: float, cost: float) -> bool:
        """Print one evaluation after `steps` roll-out steps and `evaluations` model evaluations in all."""
        total, computing = self.watch.read()
        algorithm, seed = self._said
        line = {
            "algorithm": algorithm, "seed": seed, "steps": steps, "evaluations": evaluations,
            "seconds": total, "seconds_without_compilation": computing, "success": success, "cost": cost,
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        self._held = self._held + 1 if success >= SOLVED else 0
        return self._held >= HELD or total > self._budget


def ours(teller: Teller, seed: int, variant: str) -> None:
    """HDS (`hds`), PODS with a plain line search and no noise (`pods`), or HDS as a job runs it (`job`)."""
    parts, epochs = learner(TASK, load_dynamics("")), SIMULATION_EPOCHS
    tables = {"training": {"epochs": epochs}}
    config = configuration(tables if variant == "job" else merged(tables, SMALL))
    if variant == "pods":
        config = dataclasses.replace(
            config,
            search=dataclasses.replace(config.search, method="line-search"),
            hds=dataclasses.replace(config.hds, noise=0.0, temperature=0.0),
        )
    algorithm, nothing = make_hds(parts.problem(config)), load_dynamics("").nominal_parameters(TASK)
    theta, judged = (mixture(nothing, stacked(nothing), 0.0, n) for n in (algorithm.batch, EPISODES))
    n, m = len(TASK.state_names), 1
    rolled = algorithm.steps
    searched = rolled * config.pods.improvement_iterations * (len(config.search.step_sizes) + n + m + 1)
    side_by_side(*algorithm.calls(theta))
    key, state = jax.random.key(seed), algorithm.init(jax.random.key(seed + KEYS_APART))
    for epoch in range(epochs):
        state, _ = algorithm.step(state, theta, epoch, key)
        jax.block_until_ready(state)
        if epoch % 2:
            evaluate = functools.partial(parts.evaluate, state.average, judged, jax.random.key(7))
            found = teller.watch.evaluating(lambda evaluate=evaluate: jax.block_until_ready(evaluate()))
            done = (epoch + 1) * rolled
            success, cost = float(np.mean(np.asarray(found.success))), float(np.mean(np.asarray(found.cost)))
            if teller.told(done, done + (epoch + 1) * searched, success, cost):
                return


def short_horizon_actor_critic(teller: Teller, seed: int, model: Model) -> None:
    """SHAC."""
    from tests.benchmarks.shac import SHAC

    parts = learner(TASK, load_dynamics(""))
    nothing = load_dynamics("").nominal_parameters(TASK)
    judged = mixture(nothing, stacked(nothing), 0.0, EPISODES)
    config = configuration({"training": {"epochs": 2000}})
    shac = SHAC(dataclasses.replace(parts.problem(config), model=model))
    theta = mixture(nothing, stacked(nothing), 0.0, shac.batch)
    key_init, key = jax.random.split(jax.random.key(seed))
    state = shac.init(key_init)
    for epoch in range(config.training.epochs):
        state, _ = jax.block_until_ready(shac.step(state, theta, epoch, key))
        if epoch % 20 == 19:
            evaluate = functools.partial(parts.evaluate, state.policy, judged, jax.random.key(7))
            found = teller.watch.evaluating(lambda evaluate=evaluate: jax.block_until_ready(evaluate()))
            steps = (epoch + 1) * shac.steps
            success, cost = float(np.mean(np.asarray(found.success))), float(np.mean(np.asarray(found.cost)))
            if teller.told(steps, steps, success, cost):
                return


class Enough(Exception):
    """The learner has been told to stop."""


def _replicated(tree: Any, devices: Sequence[Any]) -> Any:
    """Return `tree` with a leading axis for `devices`, as a function did that JAX 0.10 left out.

    Brax's learners still call it, with one device here.
    """
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), tree)


def of_brax(teller: Teller, seed: int, algorithm: str, model: Model) -> None:
    """Brax's PPO, SAC or APG on the same task."""
    from brax.training.agents.apg import train as apg
    from brax.training.agents.ppo import train as ppo
    from brax.training.agents.ppo.networks import make_ppo_networks
    from brax.training.agents.sac import train as sac
    from brax.training.agents.sac.networks import make_sac_networks

    from tests.benchmarks.peer_env import TaskEnv

    if not hasattr(jax, "device_put_replicated"):
        jax.device_put_replicated = _replicated  # pyright: ignore[reportAttributeAccessIssue]
    seen, length = 0.0, TASK.episode_steps
    apg_batch, apg_horizon, apg_updates, apg_evaluations = 64, 32, 6000, 60
    apg_told = apg_batch * apg_horizon * round(apg_updates / (apg_evaluations - 1))

    def progress(steps: int, metrics: dict) -> None:
        nonlocal seen
        teller.watch.exclude(float(metrics["eval/walltime"]) - seen)
        seen = float(metrics["eval/walltime"])
        counted = int(steps) * (apg_told if algorithm == "apg" else 1)
        success, reward = float(metrics["eval/episode_success"]), float(metrics["eval/episode_reward"])
        if teller.told(counted, counted, success, -reward):
            raise Enough

    networks_of_sac: Any = functools.partial(
        make_sac_networks, hidden_layer_sizes=HIDDEN, q_network_layer_norm=True
    )
    common: dict[str, Any] = {
        "environment": TaskEnv(TASK, model), "episode_length": length, "num_eval_envs": EPISODES,
        "seed": seed, "progress_fn": progress, "normalize_observations": True, "deterministic_eval": True,
    }  # fmt: skip
    as_seen: dict[str, Any] = {**common, "normalize_observations": False}
    learners = {
        "ppo": lambda: ppo.train(
            **common, num_timesteps=10_000_000, num_evals=100, num_envs=256, unroll_length=20, batch_size=64,
            num_minibatches=8, num_updates_per_batch=8, learning_rate=1e-3, entropy_cost=1e-2,
            discounting=0.98, gae_lambda=0.95, reward_scaling=1.0, max_grad_norm=1.0,
            network_factory=functools.partial(
                make_ppo_networks, policy_hidden_layer_sizes=HIDDEN, value_hidden_layer_sizes=HIDDEN
            ),
        ),
        # SAC must start learning before carts have run away, so few steps fill the replay memory first. The
        # rail has no end, and with 8192 steps the untrained policy, which leans to one side, and the first
        # trained ones fill the memory with costs of tens to hundreds a step; SAC then kept to hanging.
        "sac": lambda: sac.train(
            **as_seen,
            num_timesteps=2_000_000, num_evals=1000, num_envs=64, batch_size=64, learning_rate=2e-3,
            discounting=0.98, reward_scaling=1.0, tau=0.02, min_replay_size=1024, max_replay_size=1_000_000,
            grad_updates_per_step=64, network_factory=networks_of_sac,
        ),
        "apg": lambda: apg.train(
            **common, policy_updates=apg_updates, num_evals=apg_evaluations, num_envs=apg_batch,
            horizon_length=apg_horizon, learning_rate=1e-3, max_gradient_norm=1.0,
        ),
    }  # fmt: skip
    try:
        learners[algorithm]()
    except Enough:
        return


def main() -> None:
    """Run the learner that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm", choices=ALGORITHMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=900.0, help="seconds after which it is stopped")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    jnp.zeros(()).block_until_ready()
    teller = Teller(options.algorithm, options.seed, options.budget)
    name, _, equations = options.algorithm.partition("@")
    model = brax_dynamics(TASK) if equations else TASK.model(no_force, 1)
    if name in {"pods", "hds", "job"}:
        ours(teller, options.seed, name)
    elif name == "shac":
        short_horizon_actor_critic(teller, options.seed, model)
    else:
        of_brax(teller, options.seed, name, model)


if __name__ == "__main__":
    main()
