"""Messages of the experience from records of the store, and back."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np

from protos.hds import v1
from protos.operation.text import printable, shortened
from trainer.services.scoring import Score
from trainer.store.records import (
    STREAM,
    RecordedEpisode,
    Selection,
    SessionInfo,
    SessionSummary,
    Transition,
)

if TYPE_CHECKING:
    from trainer.tasks.task import Task

Resolve = Callable[[str, str], str]
"""`(name, task) -> version` of a label; any other name as it is."""
MOST_TEXT, MOST_TAG = 2_000, 200
LARGEST_ACTION = 10.0
"""Of what a plant executed, and of imported logs: real motors exceed a task's limit."""
_CHOSEN = (v1.ACTION_SOURCE_POLICY, v1.ACTION_SOURCE_FALLBACK, v1.ACTION_SOURCE_HUMAN)
SOURCES = (_CHOSEN, (v1.ACTION_SOURCE_UNSPECIFIED, *_CHOSEN))
"""Who may have chosen an action: of a streamed session, and of an imported one, which may not know."""
LARGEST_EPISODE, LARGEST_SEQUENCE = 2**31 - 1, 2**63 - 1
"""What the columns of any database hold."""


def decode_batch(request: v1.AppendRequest, task: "Task") -> tuple[SessionInfo, list[Transition]]:
    """Return what to store, of a session for `task`.

    Raises:
        ValueError: a plant that does not fit the task, or a transition that is malformed.
    """
    from trainer.tasks.task import check_fits  # with JAX, which the loaded task has imported

    message = request.session
    plant = message.plant
    if not message.id:
        raise ValueError("a session needs an id; it is empty")
    for what, text in (("id", message.id), ("source", message.source), ("plant", plant.name)):
        check_name(f"the session's {what}", text)
    check_fits(plant.state_names, plant.action_names, plant.control_dt_s, task, f"plant {plant.name!r}")
    names = (task.state_names, task.action_names)
    source = message.source or STREAM
    info = SessionInfo(message.id, message.task, plant.name, *names, plant.control_dt_s, source)
    streamed = source == STREAM
    n, m = map(len, names)
    return info, [_transition(row, n, m, streamed) for row in request.transitions]


def _transition(row: v1.Transition, n: int, m: int, streamed: bool) -> Transition:
    x, x_next = _state(row, "x", row.x, n), _state(row, "x_next", row.x_next, n)
    by_policy = streamed and row.action_source != v1.ACTION_SOURCE_HUMAN
    requested = _action(row, "u_requested", row.u_requested, (0, m), 1.0 if by_policy else LARGEST_ACTION)
    applied = _action(row, "u_applied", row.u_applied, (m,), LARGEST_ACTION)
    if row.episode > LARGEST_EPISODE or row.sequence > LARGEST_SEQUENCE:
        raise ValueError(f"transition {row.sequence}: episode {row.episode} or the sequence is too large")
    if row.t_ns < 0:
        raise ValueError(f"transition {row.sequence}: t_ns is {row.t_ns}; time begins at 0")
    if row.action_source not in SOURCES[0 if streamed else 1]:
        raise ValueError(
            f"transition {row.sequence}: action_source is {row.action_source}; it must be policy, fallback "
            "or human"
        )
    if row.end not in v1.EndCause.values():
        raise ValueError(f"transition {row.sequence}: end is {row.end}, which this version does not know")
    for what, text in (("reason", row.reason), ("policy_version", row.policy_version)):
        _check_text(f"transition {row.sequence}: the {what}", text)
    if row.purpose not in (v1.PURPOSE_COLLECT, v1.PURPOSE_EVALUATE):
        raise ValueError(f"transition {row.sequence}: purpose must be collect or evaluate")
    return Transition(
        row.sequence, row.episode, row.purpose, x, requested, applied, x_next, row.t_ns,
        row.terminated, row.truncated, row.policy_version, row.action_source, row.reason, row.end,
    )  # fmt: skip


def check_tag(tag: str) -> None:
    """Check that `tag` can be one.

    Raises:
        ValueError: saying why not.
    """
    if not tag.strip() or len(tag) > MOST_TAG:
        raise ValueError(f"a tag has 1 to {MOST_TAG} letters, not only blanks; got {len(tag)} letters")
    check_name("a tag", tag)


def check_name(what: str, text: str) -> None:
    """Check that `text` can name something.

    Raises:
        ValueError: it is too long, or has letters that would steer a terminal.
    """
    _check_text(what, text)
    if not text.isprintable():
        raise ValueError(f"{what} must have no control characters; it is {printable(shortened(text, 80))}")


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


def _state(row: v1.Transition, name: str, values: Collection[float], n: int) -> np.ndarray:
    """Return a state: finite, or all NaN where no usable reading came."""
    state = _floats(row, name, values, (n,))
    finite = np.isfinite(state)
    if not finite.all() and not np.isnan(state).all():
        at = int(np.argmin(finite))
        raise ValueError(
            f"transition {row.sequence}: number {at} of {name} is {state[at]}; a state is finite, or all NaN "
            "where no usable reading came"
        )
    return state


def _action(
    row: v1.Transition, name: str, values: Collection[float], allowed: tuple[int, ...], largest: float
) -> np.ndarray:
    action = _floats(row, name, values, allowed)
    within = np.abs(action) <= largest
    if not within.all():
        at = int(np.argmin(within))
        raise ValueError(
            f"transition {row.sequence}: number {at} of {name} is {action[at]:g}; it must be in "
            f"[{-largest:g}, {largest:g}]"
        )
    return action


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


def decode_selection(message: v1.Selection, resolve: Resolve | None = None) -> Selection:
    """Return what a message selects; `resolve(name, task)` gives the version that a label points to.

    Raises:
        ValueError: the times are not in order.
        LookupError: several tasks have a label.
    """
    policies = tuple(message.policies)
    if resolve is not None:
        policies = tuple(resolve(name, message.task) for name in policies)
    if message.since_unix_ns and message.until_unix_ns and message.since_unix_ns >= message.until_unix_ns:
        raise ValueError("nothing can be selected: 'since' is not before 'until'")
    return Selection(
        task=message.task,
        purpose=message.purpose,
        sessions=tuple(message.sessions),
        tags=tuple(message.tags),
        policies=policies,
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
