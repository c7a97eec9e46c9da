"""The steps of a job: fit dynamics (in a refit), train, select the best policy, export it."""

import logging
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.serialization import from_state_dict, to_state_dict

from trainer.checkpoint.export import export
from trainer.checkpoint.metadata import PolicyMetadata
from trainer.checkpoint.reader import read_item, read_policy
from trainer.dynamics.catalogue import load_dynamics
from trainer.dynamics.dynamics_model import Fit
from trainer.dynamics.windows import Segment, split_at_nonfinite
from trainer.jobs.gate import THRESHOLD, EpisodeScores, Evidence, evaluate_gate
from trainer.jobs.learner import Learner, learner, stacked
from trainer.jobs.reach import share_outside
from trainer.jobs.refit import Report, fit_dynamics, real_seconds, recorded
from trainer.jobs.request import LEARNED_FRACTION, JobRequest, Progress, Published, Verdict
from trainer.jobs.task_check import LearnedNothing, check_task, why_nothing
from trainer.learning.hds import NETWORKS, Best, HDSConfig, mixture, train
from trainer.learning.pods_state import PODSInfo, PODSState
from trainer.models.model import Theta
from trainer.store.records import RecordedEpisode
from trainer.tasks import load_task

log = logging.getLogger(__name__)

EVALUATION_EPISODES = 256
FIRST_EPOCHS = 100
"""Epochs of a training without data, where success is reached after about 25."""
TARGET_SUCCESS, ROUNDS = 0.95, 3
"""A training whose best success rate is below this is continued, up to this many rounds in all."""
MOST_NOT_FINITE = 0.5
"""Largest share of steps that are not finite, above which a training fails."""


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
    check_task(task, key_train)
    episodes = recorded(request, task, report) if request.refit else []
    chosen, fit = load_dynamics(""), None
    if request.refit:
        chosen, fit = fit_dynamics(request, task, episodes, key_fit, report, metrics, notes)
    parts = learner(task, chosen)
    fraction = _fraction(request, fit)
    started = time.monotonic()
    config = HDSConfig(epochs=request.epochs or (HDSConfig.epochs if request.refit else FIRST_EPOCHS))
    rounds = 1 if request.epochs else ROUNDS
    warm = _warm_start(parts, request)
    best = train_policy(parts, fit, fraction, config, key_train, warm, report, metrics, rounds)
    metrics["train_seconds"] = time.monotonic() - started
    verdict = _verdict(request, parts, fit, episodes, best, metrics, config)
    metrics["simulation_success"], metrics["simulation_cost"] = _in_simulation(parts, best)
    report(Progress("publishing", 1.0, metrics))
    return _publish(request, parts, episodes, fit, fraction, best, metrics, verdict, notes)


def _verdict(
    request: JobRequest,
    parts: Learner,
    fit: Fit | None,
    episodes: list[RecordedEpisode],
    best: Best,
    metrics: dict[str, float],
    config: HDSConfig,
) -> Verdict:
    """Return the verdict of the gate on the best policy.

    Raises:
        LearnedNothing: its cost, or most of the training, was not finite.
    """
    pods = parts.pods.config
    steps = pods.batch * pods.horizon * config.epochs * metrics["training_rounds"]
    left_out = metrics.get("left_out_steps", 0.0) / steps
    models = validation_models(parts, fit)
    if left_out > MOST_NOT_FINITE or not np.isfinite(best.cost):
        theta = jax.tree.map(lambda leaf: leaf[0], models)
        why = why_nothing(parts.pods.task, parts.pods.model, theta, jax.random.key(request.seed))
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


def _warm_start(parts: Learner, request: JobRequest) -> PODSState | None:
    """Return a state with the parent's networks; None without a parent."""
    if not request.parent:
        return None
    parent = read_policy(request.checkpoints / request.parent, request.parent)
    kept = read_item(request.checkpoints / request.parent, "training")
    new, old = parts.policy.features, parent.metadata.policy.features

    def carried(path: tuple, leaf: Any) -> jax.Array:
        first_layer = jax.tree_util.keystr(path[-2:], simple=True) == "Dense_0kernel"
        return new.carry_over(jnp.asarray(leaf), old) if first_layer else jnp.asarray(leaf)

    fresh = parts.algorithm.init(jax.random.key(0))
    try:
        networks = {name: from_state_dict(getattr(fresh, name), kept[name]) for name in NETWORKS}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"version {request.parent[:12]} has networks of another shape than this program trains; start "
            f"anew with 'hds-trainer train', then refit: {error}"
        ) from error
    return fresh._replace(**jax.tree_util.tree_map_with_path(carried, networks))


def validation_models(parts: Learner, fit: Fit | None) -> Theta:
    """Return the models for validation: those of the fit, or the simulator without a fit."""
    nominal = parts.dynamics.nominal_parameters(parts.task)
    members = stacked(nominal) if fit is None else fit.members
    return mixture(nominal, members, 1.0 if fit else 0.0, EVALUATION_EPISODES)


def train_policy(
    parts: Learner,
    fit: Fit | None,
    fraction: float,
    config: HDSConfig,
    key: jax.Array,
    warm: PODSState | None,
    report: Report,
    metrics: dict[str, float],
    rounds: int = ROUNDS,
) -> Best:
    """Train in the mixture of simulator and `fit`, validate in the fit if there is one.

    Training is continued, up to `rounds` in all, until the success rate is TARGET_SUCCESS.
    """
    nominal = parts.dynamics.nominal_parameters(parts.task)
    members = stacked(nominal) if fit is None else fit.members
    theta = mixture(nominal, members, fraction, parts.pods.config.batch)
    validation = validation_models(parts, fit)
    phase, offset = (
        ("training in simulation", 0.0) if fit is None else ("training with learned dynamics", 0.2)
    )
    report(Progress(f"{phase} (compiling)", offset, metrics))
    parts.compile(theta, validation)
    best = None
    for number in range(1, rounds + 1):
        key, key_round = jax.random.split(key)
        for epoch, info, best in train(
            parts.algorithm, parts.evaluate, theta, validation, config, key_round, warm
        ):
            _update_metrics(epoch, info, best, metrics)
            report(Progress(phase, offset + (1.0 - offset) * epoch / config.epochs, metrics))
        assert best is not None, "the last epoch is always evaluated"
        metrics["training_rounds"] = number
        if best.success >= TARGET_SUCCESS:
            break
        warm, phase = best.state, f"training on, success is {best.success:.2f}"
    assert best is not None, "there is a round"
    return best


def _update_metrics(epoch: int, info: PODSInfo, best: Best | None, metrics: dict[str, float]) -> None:
    """Add the figures of an epoch to the metrics."""
    metrics["training_cost_per_step"] = float(info.cost)
    metrics["gradient_norm_p99"] = float(info.gradient_p99)
    if left_out := int(info.non_finite.steps):
        metrics["left_out_steps"] = metrics.get("left_out_steps", 0.0) + left_out
        log.warning("epoch %d: %s", epoch, info.non_finite)
    if best is not None:
        metrics["model_success"], metrics["model_cost"] = best.success, best.cost


def _in_simulation(parts: Learner, best: Best) -> tuple[float, float]:
    """Return success and cost of the best policy in the simulator alone."""
    nominal = parts.dynamics.nominal_parameters(parts.task)
    simulator = mixture(nominal, stacked(nominal), 0.0, EVALUATION_EPISODES)
    found = parts.evaluate(best.policy, simulator, jax.random.key(1))
    return float(jnp.mean(found.success)), float(jnp.mean(found.cost))


def _publish(
    request: JobRequest,
    parts: Learner,
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
    task = parts.task
    metadata = PolicyMetadata(
        task=task.name,
        state_names=task.state_names,
        action_names=task.action_names,
        control_dt_s=task.control_dt,
        policy=parts.policy,
        parent=request.parent,
        real_seconds=real_seconds(episodes),
        watermarks=watermarks,
        metrics={name: float(np.round(value, 6)) for name, value in metrics.items()},
        configuration={
            "seed": request.seed,
            "epochs": request.epochs,
            "dynamics_model": parts.dynamics.name if fit else "none",
            "learned_fraction": fraction,
            "policies": request.data.policies,
        },
        episode_steps=task.episode_steps,
    )
    members = stacked(parts.dynamics.nominal_parameters(task)) if fit is None else fit.members
    training = to_state_dict({name: getattr(best.state, name) for name in NETWORKS})
    served = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), best.policy)
    dynamics = to_state_dict(members)
    version = export(request.checkpoints, served, metadata, dynamics, training)
    real, figures = metadata.real_seconds, metadata.metrics
    return Published(version, request.parent, real, figures, verdict, tuple(notes))
