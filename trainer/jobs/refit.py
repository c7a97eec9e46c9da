"""The data of a refit, and the dynamics model fitted to them."""

import dataclasses
import logging
import time
from collections.abc import Callable

import jax

from trainer.dynamics.catalogue import AUTO, fit_best, known_name, load_dynamics
from trainer.dynamics.contradictions import check
from trainer.dynamics.dynamics_model import DynamicsModel, Fit
from trainer.dynamics.metrics import figures
from trainer.dynamics.windows import Segment, split_at_nonfinite
from trainer.jobs.request import JobRequest, NoData, Progress
from trainer.store.database import StoreUnavailable, open_database
from trainer.store.experience import ExperienceStore
from trainer.store.records import COLLECT, RecordedEpisode
from trainer.tasks.task import Task, check_fits

log = logging.getLogger(__name__)

Report = Callable[[Progress], None]
TRIES, AGAIN_S = 600, 1.0
"""Tries to read from a database that is away, and the time between them."""


def recorded(request: JobRequest, task: Task, report: Report) -> list[RecordedEpisode]:
    """Return the episodes of a refit; wait up to 10 minutes for a database that is away."""
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


def fit_dynamics(
    request: JobRequest,
    task: Task,
    episodes: list[RecordedEpisode],
    key: jax.Array,
    report: Report,
    metrics: dict[str, float],
    notes: list[str],
) -> tuple[DynamicsModel, Fit]:
    """Fit the requested dynamics model, or the one with the smallest held-out error."""
    started, name = time.monotonic(), known_name(request.dynamics_model)
    phase = "fitting dynamics" + ("" if name == AUTO else f", {name}")
    metrics["real_seconds"] = real_seconds(episodes)
    report(Progress(phase, 0.0, metrics))
    segments = split_at_nonfinite([Segment(episode.x, episode.u) for episode in episodes])
    if left_out := sum(e.u.shape[0] for e in episodes) - sum(segment.u.shape[0] for segment in segments):
        metrics["left_out_real_steps"] = left_out
        log.warning("%d recorded steps are left out: a number in them is not finite", left_out)
    check(task, segments)
    on_progress = lambda share: report(Progress(phase, 0.2 * share, metrics))  # noqa: E731
    if name == AUTO:
        choice = fit_best(task, segments, key, on_progress)
        chosen, fit = choice.dynamics, choice.fit
        notes.append(choice.why)
        metrics |= {f"held-out error of {tried}": error for tried, error in choice.errors.items()}
    else:
        chosen = load_dynamics(name)
        fit = chosen.fit(task, segments, key, on_progress)
    metrics |= figures(task, fit)
    metrics["refit_seconds"] = time.monotonic() - started
    return chosen, fit


def real_seconds(episodes: list[RecordedEpisode]) -> float:
    """Return the length of all `episodes` together [s]."""
    return sum(episode.u.shape[0] * episode.control_dt_s for episode in episodes)
