"""Messages of the experience from records of the store, and back."""

from collections.abc import Collection

import numpy as np

from protos.hds import v1
from trainer.services.scoring import Score
from trainer.store.records import (
    STREAM,
    RecordedEpisode,
    Selection,
    SessionInfo,
    SessionSummary,
    Transition,
)
from trainer.tasks import load_task

MOST_TEXT = 2_000
LARGEST_EPISODE, LARGEST_SEQUENCE = 2**31 - 1, 2**63 - 1
"""What the columns of any database hold."""


def decode(request: v1.AppendRequest) -> tuple[SessionInfo, list[Transition]]:
    """Return what to store.

    Raises:
        ValueError: an unknown task, a plant that does not fit it, or a transition that is malformed.
    """
    from trainer.tasks.task import check_fits  # with JAX, which the loaded task has imported

    message = request.session
    task = load_task(message.task)
    plant = message.plant
    if not message.id:
        raise ValueError("a session needs an id; it is empty")
    for what, text in (("id", message.id), ("source", message.source), ("plant", plant.name)):
        _check_text(f"the session's {what}", text)
    check_fits(plant.state_names, plant.action_names, plant.control_dt_s, task, f"plant {plant.name!r}")
    names = (task.state_names, task.action_names)
    source = message.source or STREAM
    info = SessionInfo(message.id, message.task, plant.name, *names, plant.control_dt_s, source)
    return info, [_transition(row, *map(len, names)) for row in request.transitions]


def _transition(row: v1.Transition, n: int, m: int) -> Transition:
    x, x_next = _floats(row, "x", row.x, (n,)), _floats(row, "x_next", row.x_next, (n,))
    requested = _floats(row, "u_requested", row.u_requested, (0, m))
    applied = _floats(row, "u_applied", row.u_applied, (m,))
    if row.episode > LARGEST_EPISODE or row.sequence > LARGEST_SEQUENCE:
        raise ValueError(f"transition {row.sequence}: episode {row.episode} or the sequence is too large")
    for what, text in (("reason", row.reason), ("policy_version", row.policy_version)):
        _check_text(f"transition {row.sequence}: the {what}", text)
    if row.purpose not in (v1.PURPOSE_COLLECT, v1.PURPOSE_EVALUATE):
        raise ValueError(f"transition {row.sequence}: purpose must be collect or evaluate")
    return Transition(
        row.sequence, row.episode, row.purpose, x, requested, applied, x_next, row.t_ns,
        row.terminated, row.truncated, row.policy_version, row.action_source, row.reason, row.end,
    )  # fmt: skip


def _check_text(what: str, text: str) -> None:
    """Check that every database takes `text`.

    Raises:
        ValueError: it is too long, or has a zero byte, which PostgreSQL refuses.
    """
    if len(text) > MOST_TEXT or "\0" in text:
        raise ValueError(f"{what} must have no zero byte and at most {MOST_TEXT} letters; it has {len(text)}")


def _floats(row: v1.Transition, name: str, values: Collection[float], allowed: tuple[int, ...]) -> np.ndarray:
    if len(values) not in allowed:
        raise ValueError(f"transition {row.sequence}: {name} has {len(values)} numbers; allowed: {allowed}")
    return np.asarray(values, np.float32)


def encode_episode(episode: RecordedEpisode, scored: Score) -> v1.Episode:
    """Return the message of an episode and its score."""
    return v1.Episode(
        session=episode.session,
        episode=episode.episode,
        purpose=v1.Purpose.Name(episode.purpose),
        steps=episode.u.shape[0],
        seconds=episode.u.shape[0] * episode.control_dt_s,
        cost=scored.cost,
        success=scored.success,
        terminated=episode.terminated,
        truncated=episode.truncated,
        policy_versions=episode.policy_versions,
        fallback_steps=episode.fallback_steps,
        first_sequence=episode.first_sequence,
        judged=scored.judged,
        end=v1.EndCause.Name(episode.end),
    )


def encode_session(info: SessionInfo) -> v1.Session:
    """Return the message of a session."""
    return v1.Session(id=info.id, task=info.task, plant=encode_plant(info), source=info.source)


def encode_plant(info: SessionInfo) -> v1.PlantSpec:
    """Return what the plant of a session is."""
    return v1.PlantSpec(
        name=info.plant,
        state_names=info.state_names,
        action_names=info.action_names,
        control_dt_s=info.control_dt_s,
    )


def encode_summary(found: SessionSummary) -> v1.SessionSummary:
    """Return the message of what is stored of a session."""
    dt = found.session.control_dt_s
    return v1.SessionSummary(
        session=encode_session(found.session),
        begun_unix_ns=found.begun_ns,
        tags=found.tags,
        episodes=found.episodes,
        steps=found.collect_steps + found.evaluate_steps,
        collect_s=found.collect_steps * dt,
        evaluate_s=found.evaluate_steps * dt,
        next_sequence=found.next_sequence,
    )


def decode_selection(message: v1.Selection) -> Selection:
    """Return what a message selects.

    Raises:
        ValueError: the times are not in order.
    """
    if message.since_unix_ns and message.until_unix_ns and message.since_unix_ns >= message.until_unix_ns:
        raise ValueError("nothing can be selected: 'since' is not before 'until'")
    return Selection(
        task=message.task,
        purpose=message.purpose,
        sessions=tuple(message.sessions),
        tags=tuple(message.tags),
        policies=tuple(message.policies),
        since_ns=message.since_unix_ns,
        until_ns=message.until_unix_ns,
        watermarks=dict(message.watermarks),
        plants=tuple(message.plants),
    )


def encode_selection(wanted: Selection) -> v1.Selection:
    """Return the message of a selection."""
    return v1.Selection(
        task=wanted.task,
        purpose=v1.Purpose.Name(wanted.purpose),
        sessions=wanted.sessions,
        tags=wanted.tags,
        policies=wanted.policies,
        since_unix_ns=wanted.since_ns,
        until_unix_ns=wanted.until_ns,
        watermarks=wanted.watermarks,
        plants=wanted.plants,
    )
