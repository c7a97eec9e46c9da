"""The steps of a job: fit dynamics (in a refit), train, select the best policy, export it."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.serialization import from_state_dict, to_state_dict

from protos.operation.command_line import version
from trainer.checkpoint.export import export
from trainer.checkpoint.metadata import PolicyMetadata
from trainer.checkpoint.reader import read_item, read_policy
from trainer.dynamics.catalogue import load_dynamics
from trainer.dynamics.dynamics_model import Fit
from trainer.dynamics.windows import Segment, split_at_nonfinite
from trainer.jobs.algorithms import DEFAULT, load_algorithm
from trainer.jobs.gate import THRESHOLD, EpisodeScores, Evidence, evaluate_gate
from trainer.jobs.hyper_parameters import configuration_of
from trainer.jobs.learner import Learner, learner, stacked
from trainer.jobs.reach import share_outside
from trainer.jobs.refit import Report, fit_dynamics, real_seconds, recorded
from trainer.jobs.request import LEARNED_FRACTION, JobRequest, Progress, Published, Verdict
from trainer.jobs.task_check import LearnedNothing, check_task, why_nothing
from trainer.learning.algorithm import Algorithm, EpochInfo
from trainer.learning.configuration import Configuration, TrainingConfig
from trainer.learning.hds import mixture
from trainer.learning.training import Best, train
from trainer.models.model import Theta
from trainer.store.records import Epoch, RecordedEpisode
from trainer.tasks import load_task

log = logging.getLogger(__name__)

MOST_NOT_FINITE = 0.5
"""Largest share of steps that are not finite, above which a training fails."""
TIMES = ("train_seconds", "refit_seconds")
"""Metrics that are no part of a policy's version, so that a training that is repeated gives the same one."""


def run(request: JobRequest, report: Report) -> Published:
    """Carry out `request` and return what was published.

    Raises:
        NoData: a refit without recorded data.
        ValueError: unknown task or dynamics model, a task whose functions are not finite, a fraction out of
            bounds, or data that do not fit or contradict the task.
        LearnedNothing: the training's numbers were not finite.
    """
    task, metrics, notes = load_task(request.task), {}, []
    key_fit, key_train = jax.random.split(jax.random.key(request.seed))
    config = configuration_of(task, request.config, request.epochs, request.refit)
    check_task(task, key_train)
    episodes = recorded(request, task, report) if request.refit else []
    chosen, fit = load_dynamics(""), None
    if request.refit:
        chosen, fit = fit_dynamics(request, task, episodes, key_fit, report, metrics, notes)
    parts = learner(task, chosen, config.network)
    algorithm = load_algorithm(request.algorithm)(parts.problem(config))
    fraction = _fraction(request, fit)
    started = time.monotonic()
    warm = _warm_start(parts, algorithm, request)
    training = Training(parts, algorithm, config.training)
    best = training.run(fit, fraction, key_train, warm, report, metrics)
    metrics["train_seconds"] = time.monotonic() - started
    verdict = _verdict(request, training, fit, episodes, best, metrics)
    metrics["simulation_success"], metrics["simulation_cost"] = _in_simulation(training, best)
    report(Progress("publishing", 1.0, metrics))
    return _publish(request, training, config, episodes, fit, fraction, best, metrics, verdict, notes)


def _verdict(
    request: JobRequest,
    training: "Training",
    fit: Fit | None,
    episodes: list[RecordedEpisode],
    best: Best,
    metrics: dict[str, float],
) -> Verdict:
    """Return the verdict of the gate on the best policy.

    Raises:
        LearnedNothing: its cost, or most of the training, was not finite.
    """
    parts = training.parts
    steps = training.algorithm.steps * training.config.epochs * metrics["training_rounds"]
    left_out = metrics.get("left_out_steps", 0.0) / steps
    models = training.validation_models(fit)
    if left_out > MOST_NOT_FINITE or not np.isfinite(best.cost):
        theta = jax.tree.map(lambda leaf: leaf[0], models)
        why = why_nothing(parts.learned_task, parts.model, theta, jax.random.key(request.seed))
        raise LearnedNothing(
            f"nothing was learned: {left_out:.0%} of the training's steps were left out as not finite, "
            f"and the policy's cost is {best.cost:g}; {why}"
        )
    key = jax.random.key(request.seed)
    nominal = jax.tree.map(jnp.zeros_like, best.policy)
    scored = [
        EpisodeScores(*(np.asarray(part) for part in parts.evaluate(policy, models, key)))
        for policy in (best.policy, nominal, parts.policy.init(key))
    ]
    threshold = next(g for g in (request.gate, parts.task.gate, THRESHOLD) if g is not None)
    references = {"no action": scored[1], "the untrained network": scored[2]}
    has_success, outside = parts.task.has_success, 0.0
    if fit is not None and not parts.dynamics.extrapolates:
        segments = split_at_nonfinite([Segment(episode.x, episode.u) for episode in episodes])
        outside = share_outside(parts, best.policy, models, segments, key)
        metrics["steps_outside_data"] = outside
    return evaluate_gate(Evidence(scored[0], references, fit, left_out, has_success, threshold, outside))


def _fraction(request: JobRequest, fit: Fit | None) -> float:
    if fit is None:
        return 0.0
    fraction = LEARNED_FRACTION if request.learned_fraction is None else request.learned_fraction
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"learned_fraction must be in [0, 1]; got {fraction:g}")
    return fraction


def _warm_start(parts: Learner, algorithm: Algorithm[Any], request: JobRequest) -> dict[str, Any] | None:
    """Return the networks of the parent; None without a parent, or if the algorithm has no networks."""
    if not request.parent:
        return None
    expected = algorithm.networks(algorithm.init(jax.random.key(0)))
    if not expected:
        return None
    directory = request.checkpoints / request.parent
    parent = read_policy(directory, request.parent)
    kept = read_item(directory, "training") if (directory / "training").exists() else {}
    new, old = parts.policy.features, parent.metadata.policy.features

    def carried(path: tuple, leaf: Any) -> jax.Array:
        first_layer = jax.tree_util.keystr(path[-2:], simple=True) == "Dense_0kernel"
        return new.carry_over(jnp.asarray(leaf), old) if first_layer else jnp.asarray(leaf)

    try:
        networks = {name: from_state_dict(expected[name], kept[name]) for name in expected}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"version {request.parent[:12]} has other networks than this algorithm trains; give its "
            f"algorithm and configuration, or start anew with 'hds-trainer train': {error}"
        ) from error
    networks = jax.tree_util.tree_map_with_path(carried, networks)
    _check_shapes(request.parent, expected, networks)
    return networks


def _check_shapes(parent: str, expected: dict[str, Any], networks: dict[str, Any]) -> None:
    """Check that a parent's networks have the sizes of this training's.

    Raises:
        ValueError: they have others.
    """
    for name in expected:
        wanted, found = (
            [leaf.shape for leaf in jax.tree.leaves(tree[name])] for tree in (expected, networks)
        )
        if wanted != found:
            raise ValueError(
                f"version {parent[:12]} has a network {name!r} of shapes {found}, and this training one of "
                f"{wanted}: give the configuration of that version ('hds-trainer policies VERSION "
                "--config'), or start anew with 'hds-trainer train'"
            )


@dataclass(frozen=True)
class Training:
    """A training of one policy: parts, algorithm, budget."""

    parts: Learner
    algorithm: Algorithm[Any]
    config: TrainingConfig

    def validation_models(self, fit: Fit | None) -> Theta:
        """Return the models for validation: those of the fit, or the simulator without a fit."""
        nominal = self.parts.dynamics.nominal_parameters(self.parts.task)
        members = stacked(nominal) if fit is None else fit.members
        return mixture(nominal, members, 1.0 if fit else 0.0, self.config.evaluation_episodes)

    def run(
        self,
        fit: Fit | None,
        fraction: float,
        key: jax.Array,
        warm: dict[str, Any] | None,
        report: Report,
        metrics: dict[str, float],
    ) -> Best:
        """Train in the mixture of simulator and `fit`, validate in the fit if there is one.

        Training is continued, up to `config.rounds` in all, until the success rate is the target.
        """
        nominal = self.parts.dynamics.nominal_parameters(self.parts.task)
        members = stacked(nominal) if fit is None else fit.members
        theta = mixture(nominal, members, fraction, self.algorithm.batch)
        validation = self.validation_models(fit)
        phase, offset = (
            ("training in simulation", 0.0) if fit is None else ("training with learned dynamics", 0.2)
        )
        report(Progress(f"{phase} (compiling)", offset, metrics))
        self.parts.compile(self.algorithm, theta, validation)
        best, before, count = None, None, 0
        for number in range(1, self.config.rounds + 1):
            key, key_round = jax.random.split(key)
            for epoch, info, best in train(
                self.algorithm, self.parts.evaluate, theta, validation, self.config, key_round, warm
            ):
                evaluated = best is not None and best is not before
                before = best
                count += 1
                done = _epoch(count, info, best if evaluated else None)
                _update_metrics(done, best, metrics)
                if done.scalars.get("left_out_steps"):
                    log.warning("epoch %d: %s", epoch, info.non_finite)
                share = offset + (1.0 - offset) * epoch / self.config.epochs
                report(Progress(phase, share, metrics, done))
            assert best is not None, "the last epoch is always evaluated"
            metrics["training_rounds"] = number
            if best.success >= self.config.target_success:
                break
            warm = self.algorithm.networks(best.state)
            phase = f"training on, success is {best.success:.2f}"
        assert best is not None, "there is a round"
        return best


def _update_metrics(epoch: Epoch, best: Best | None, metrics: dict[str, float]) -> None:
    """Add the figures of an epoch to the metrics; `left_out_steps` is a sum."""
    names = {"cost_per_step": "training_cost_per_step", "gradient_p99": "gradient_norm_p99"}
    left_out = metrics.get("left_out_steps", 0.0) + epoch.scalars.get("left_out_steps", 0.0)
    for name, value in epoch.scalars.items():
        if name != "left_out_steps" and not name.startswith("best_"):
            metrics[names.get(name, name)] = value
    if left_out:
        metrics["left_out_steps"] = left_out
    if best is not None:
        metrics["model_success"], metrics["model_cost"] = best.success, best.cost


def _epoch(number: int, info: EpochInfo, better: Best | None) -> Epoch:
    """Return the figures of an epoch, and the scores of a policy that is the best of its round so far."""
    scalars = {name: float(value) for name, value in info.scalars.items()}
    if info.non_finite is not None:
        scalars["left_out_steps"] = float(info.non_finite.steps)
    if better is not None:
        scalars |= {"best_success": better.success, "best_cost": better.cost}
    return Epoch(number, time.time_ns(), scalars)


def _in_simulation(training: Training, best: Best) -> tuple[float, float]:
    """Return success and cost of the best policy in the simulator alone."""
    nominal = training.parts.dynamics.nominal_parameters(training.parts.task)
    simulator = mixture(nominal, stacked(nominal), 0.0, training.config.evaluation_episodes)
    found = training.parts.evaluate(best.policy, simulator, jax.random.key(1))
    return float(jnp.mean(found.success)), float(jnp.mean(found.cost))


def _publish(
    request: JobRequest,
    training: Training,
    config: Configuration,
    episodes: list[RecordedEpisode],
    fit: Fit | None,
    fraction: float,
    best: Best,
    metrics: dict[str, float],
    verdict: Verdict,
    notes: list[str],
) -> Published:
    watermarks: dict[str, int] = {}
    for episode in episodes:
        after = episode.first_sequence + episode.u.shape[0]
        watermarks[episode.session] = max(watermarks.get(episode.session, 0), after)
    parts, task = training.parts, training.parts.task
    rounded = {name: float(np.round(value, 6)) for name, value in metrics.items()}
    metadata = PolicyMetadata(
        task=task.name,
        state_names=task.state_names,
        action_names=task.action_names,
        control_dt_s=task.control_dt,
        policy=parts.policy,
        parent=request.parent,
        real_seconds=real_seconds(episodes),
        watermarks=watermarks,
        metrics={name: value for name, value in rounded.items() if name not in TIMES},
        configuration={
            "seed": request.seed,
            "algorithm": request.algorithm or DEFAULT,
            "dynamics_model": parts.dynamics.name if fit else "none",
            "learned_fraction": fraction,
            "policies": request.data.policies,
            "code": version(),
            "tables": config.tables(),
        },
        episode_steps=task.episode_steps,
    )
    members = stacked(parts.dynamics.nominal_parameters(task)) if fit is None else fit.members
    networks = to_state_dict(training.algorithm.networks(best.state))
    served = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), best.policy)
    dynamics = to_state_dict(members)
    digest = export(request.checkpoints, served, metadata, dynamics, networks)
    return Published(digest, request.parent, metadata.real_seconds, rounded, verdict, tuple(notes))
