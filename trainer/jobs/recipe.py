"""The recipe of a job: (fit dynamics,) train, choose the best, export."""

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.serialization import from_state_dict, to_state_dict

from trainer.checkpoint.export import export
from trainer.checkpoint.metadata import PolicyMetadata
from trainer.checkpoint.reader import read_item, read_policy
from trainer.dynamics.ladder import AUTO, fit_best, rung
from trainer.dynamics.report import figures
from trainer.dynamics.rung import Fit, Rung
from trainer.dynamics.windows import Motion, finite
from trainer.jobs.learner import Learner, learner, stacked
from trainer.jobs.request import LEARNED_FRACTION, JobRequest, NoData, Progress, Published
from trainer.learning.hds import NETWORKS, Best, HDSConfig, mixture, train
from trainer.learning.pods_state import PODSInfo, PODSState
from trainer.store.database import StoreUnavailable, open_database
from trainer.store.experience import ExperienceStore
from trainer.store.records import COLLECT, RecordedEpisode
from trainer.tasks import load_task
from trainer.tasks.task import Task, check_fits

log = logging.getLogger(__name__)

Report = Callable[[Progress], None]

EVALUATION_EPISODES = 256
FIRST_EPOCHS = 100
"""In simulation alone, where success is reached after about 25; real data are worth the longer training."""
ENOUGH, ROUNDS = 0.95, 3
"""A training whose best policy succeeds less often in its model goes on from there, so many times at most."""
TRIES, AGAIN_S = 600, 1.0
"""How often to ask a database that is away, and how long to wait in between."""


def run(request: JobRequest, report: Report) -> Published:
    """Carry out `request` and return what was published.

    Raises:
        NoData: a refit without recorded data.
        ValueError: an unknown task or rung, a fraction out of bounds, or data of a plant that the task's file
            does not describe any more.
    """
    task, metrics = load_task(request.task), {}
    key_fit, key_train = jax.random.split(jax.random.key(request.seed))
    episodes = _recorded(request, task, report) if request.refit else []
    chosen, fit = rung(""), None  # without data, the family that a default refit has compiled too
    if request.refit:
        chosen, fit = _fit(request, task, episodes, key_fit, report, metrics)
    parts = learner(task, chosen)
    fraction = _fraction(request, fit)
    started = time.monotonic()
    config = HDSConfig(epochs=request.epochs or (HDSConfig.epochs if request.refit else FIRST_EPOCHS))
    rounds = 1 if request.epochs else ROUNDS
    warm = _warm_start(parts, request)
    best = train_policy(parts, fit, fraction, config, key_train, warm, report, metrics, rounds)
    metrics["train_seconds"] = time.monotonic() - started
    metrics["simulation_success"], metrics["simulation_cost"] = _in_simulation(parts, best)
    report(Progress("publishing", 1.0, metrics))
    return _publish(request, parts, episodes, fit, fraction, best, metrics)


def _recorded(request: JobRequest, task: Task, report: Report) -> list[RecordedEpisode]:
    """Return what a refit learns from; while the database is away, wait for it, for a while."""
    for _ in range(TRIES - 1):
        try:
            return _read(request, task)
        except (OSError, StoreUnavailable) as error:
            report(Progress(f"waiting: {error}", 0.0))
            time.sleep(AGAIN_S)
    return _read(request, task)


def _read(request: JobRequest, task: Task) -> list[RecordedEpisode]:
    engine = open_database(request.database)
    try:
        store = ExperienceStore(engine)
        episodes = store.episodes(dataclasses.replace(request.data, task=task.name, purpose=COLLECT))
        for name in {episode.session for episode in episodes}:
            session = store.session(name)
            assert session is not None, "an episode belongs to a session"
            check_fits(
                session.state_names, session.action_names, session.control_dt_s, task, f"session {name}"
            )
    finally:
        engine.dispose()
    if not episodes:
        raise NoData(request.task)
    return episodes


def _fit(
    request: JobRequest,
    task: Task,
    episodes: list[RecordedEpisode],
    key: jax.Array,
    report: Report,
    metrics: dict[str, float],
) -> tuple[Rung, Fit]:
    """Fit the rung that was asked for, or every rung to choose the best."""
    started, name = time.monotonic(), request.dynamics_model
    phase = f"fitting {'every' if name == AUTO else rung(name).name} dynamics"
    metrics["real_seconds"] = real_seconds(episodes)
    report(Progress(phase, 0.0, metrics))
    motions = finite([Motion(episode.x, episode.u) for episode in episodes])
    if left_out := sum(e.u.shape[0] for e in episodes) - sum(motion.u.shape[0] for motion in motions):
        metrics["left_out_real_steps"] = left_out
        log.warning("%d recorded steps are left out: a number in them is not finite", left_out)
    told = lambda share: report(Progress(phase, 0.2 * share, metrics))  # noqa: E731
    if name == AUTO:
        choice = fit_best(task, motions, key, told)
        chosen, fit = choice.rung, choice.fit
        metrics |= {f"held-out error of {tried}": error for tried, error in choice.errors.items()}
    else:
        chosen = rung(name)
        fit = chosen.fit(task, motions, key, told)
    metrics |= figures(task, fit)
    metrics["refit_seconds"] = time.monotonic() - started
    return chosen, fit


def real_seconds(episodes: list[RecordedEpisode]) -> float:
    """Return the length of all `episodes` together [s]."""
    return sum(episode.u.shape[0] * episode.control_dt_s for episode in episodes)


def _fraction(request: JobRequest, fit: Fit | None) -> float:
    if fit is None:
        return 0.0
    fraction = LEARNED_FRACTION if request.learned_fraction is None else request.learned_fraction
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"learned_fraction must be in [0, 1]; got {fraction:g}")
    return fraction


def _warm_start(parts: Learner, request: JobRequest) -> PODSState | None:
    """Return a state with the networks that the parent's best policy came from; None without parent."""
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
            f"version {request.parent[:12]} keeps other networks than this program trains; start from "
            f"nothing with 'hds-trainer train', then refit: {error}"
        ) from error
    return fresh._replace(**jax.tree_util.tree_map_with_path(carried, networks))


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
    """Train in the mixture of simulator and `fit`; judge in the fit alone, where there is one.

    Hard plants take longer: at most `rounds` trainings follow each other until success is ENOUGH.
    """
    nothing = parts.rung.nothing(parts.task)
    members = stacked(nothing) if fit is None else fit.members
    theta = mixture(nothing, members, fraction, parts.pods.config.batch)
    judged_in = mixture(nothing, members, 1.0 if fit else 0.0, EVALUATION_EPISODES)
    phase, offset = (
        ("training in simulation", 0.0) if fit is None else ("training with learned dynamics", 0.2)
    )
    report(Progress(f"{phase} (compiling)", offset, metrics))
    parts.compile(theta, judged_in)
    best = None
    for number in range(1, rounds + 1):
        key, key_round = jax.random.split(key)
        for epoch, info, best in train(
            parts.algorithm, parts.evaluate, theta, judged_in, config, key_round, warm
        ):
            _tell(epoch, info, best, metrics)
            report(Progress(phase, offset + (1.0 - offset) * epoch / config.epochs, metrics))
        assert best is not None, "the last epoch is always judged"
        metrics["training_rounds"] = number
        if best.success >= ENOUGH:
            break
        warm, phase = best.state, f"training on, success is {best.success:.2f}"
    assert best is not None, "there is a round"
    return best


def _tell(epoch: int, info: PODSInfo, best: Best | None, metrics: dict[str, float]) -> None:
    """Put the story of an epoch into the metrics."""
    metrics["training_cost_per_step"] = float(info.cost)
    metrics["gradient_norm_p99"] = float(info.gradient_p99)
    if left_out := int(info.fault.steps):
        metrics["left_out_steps"] = metrics.get("left_out_steps", 0.0) + left_out
        log.warning("epoch %d: %s", epoch, info.fault)
    if best is not None:
        metrics["model_success"], metrics["model_cost"] = best.success, best.cost


def _in_simulation(parts: Learner, best: Best) -> tuple[float, float]:
    """Return success and cost of the best policy in the simulator alone."""
    nothing = parts.rung.nothing(parts.task)
    simulator = mixture(nothing, stacked(nothing), 0.0, EVALUATION_EPISODES)
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
            "dynamics_model": parts.rung.name if fit else "none",
            "learned_fraction": fraction,
            "policies": request.data.policies,
        },
        episode_steps=task.episode_steps,
    )
    members = stacked(parts.rung.nothing(task)) if fit is None else fit.members
    training = to_state_dict({name: getattr(best.state, name) for name in NETWORKS})
    served = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), best.policy)
    dynamics = to_state_dict(members)
    version = export(request.checkpoints, served, metadata, dynamics, training)
    return Published(version, request.parent, metadata.real_seconds, metadata.metrics)
