"""Recordings out of a running trainer, and into it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protos.hds import v1
from trainer.client import CallFailed, TrainerClient
from trainer.transfer.recording import Recording

BATCH = 500
"""Transitions in a message."""


class Offer(NamedTuple):
    """A recording that the trainer takes, and what it had of its transitions before."""

    recording: Recording
    missing: list[v1.Transition]
    """Those that are to be stored."""
    forgotten: int
    """How many were stored once and deleted since; they are not taken again."""


def selected(
    client: TrainerClient, wanted: v1.Selection, summaries: Iterable[v1.SessionSummary]
) -> list[v1.SessionSummary]:
    """Return the sessions that have selected episodes."""
    names = {episode.session for episode in client.episodes_of(wanted)}
    return [summary for summary in summaries if summary.session.id in names]


def recordings(client: TrainerClient, summaries: Iterable[v1.SessionSummary]) -> Iterator[Recording]:
    """Yield sessions whole, selected or not: a trainer takes no session with gaps."""
    for summary in summaries:
        transitions = list(_stored(client, summary.session.id).values())
        if transitions:
            yield Recording(summary, transitions)


def check(client: TrainerClient, recording: Recording) -> Offer:
    """Return what is to be stored of a recording; nothing is stored yet.

    A task from a file is not loaded here: whether the trainer takes that one shows when it is stored.

    Raises:
        CallFailed: the trainer would refuse it, or has another session of that name.
    """
    session, transitions = recording.summary.session, recording.transitions
    _check_messages(recording)
    known, first = client.watermark(session.id), transitions[0].sequence if transitions else 0
    if known < first:
        raise CallFailed(
            f"session {session.id} begins with transition {first} in the file, as one does whose beginning "
            f"was forgotten; the trainer has the first {known}, and takes no session with gaps"
        )
    stored = _stored(client, session.id) if known else {}
    if known:
        _check_same(client, recording, stored)
    missing = [row for row in transitions if row.sequence >= known]
    had = sum(row.sequence in stored for row in transitions[: len(transitions) - len(missing)])
    return Offer(recording, missing, len(transitions) - len(missing) - had)


def store(client: TrainerClient, offer: Offer) -> None:
    """Store what is missing.

    Raises:
        CallFailed: it was refused after all, or the trainer has gone; it says how much is stored.
    """
    session, missing = offer.recording.summary.session, offer.missing
    batches = (
        v1.AppendRequest(session=session, transitions=missing[at : at + BATCH])
        for at in range(0, len(missing), BATCH)
    )
    reached = missing[0].sequence if missing else 0

    def committed(next_sequence: int) -> None:
        nonlocal reached
        reached = next_sequence

    try:
        client.append(batches, committed)
    except CallFailed as error:
        done = reached - missing[0].sequence
        raise CallFailed(
            f"{error}; it acknowledged {done} of the {len(missing)} transitions that it lacked of session "
            f"{session.id}"
        ) from error


def _stored(client: TrainerClient, name: str) -> dict[int, v1.Transition]:
    """Return the transitions of a session by sequence number, in order."""
    episodes = client.episodes(name, v1.PURPOSE_UNSPECIFIED)
    rows = [row for episode in episodes for row in client.transitions(name, episode.episode)]
    return {row.sequence: row for row in sorted(rows, key=lambda row: row.sequence)}


def _check_messages(recording: Recording) -> None:
    """Check here what the trainer would refuse, by the same rules."""
    from trainer.services.experience_messages import decode_batch
    from trainer.tasks import is_file, load_task

    session = recording.summary.session
    try:
        if not is_file(session.task):
            decode_batch(
                v1.AppendRequest(session=session, transitions=recording.transitions), load_task(session.task)
            )
    except ValueError as error:
        raise CallFailed(f"session {session.id} can't be stored: {error}") from error


def _check_same(client: TrainerClient, recording: Recording, stored: dict[int, v1.Transition]) -> None:
    """Refuse a recording that differs from what is stored under its name."""
    session = recording.summary.session
    for known in client.sessions(v1.Selection(sessions=[session.id])):
        for what in ("task", "plant"):
            here, there = getattr(session, what), getattr(known.session, what)
            if here != there:
                raise CallFailed(
                    f"the trainer has another session {session.id!r}, with the {what} {_line(there)} instead "
                    f"of {_line(here)}"
                )
    for row in recording.transitions:
        if _bytes(stored.get(row.sequence, row)) != _bytes(row):
            raise CallFailed(
                f"the trainer has another session {session.id!r}, which differs in transition {row.sequence}"
            )


def _bytes(row: v1.Transition) -> bytes:
    """Return what tells a transition from another; NaN, which equals nothing, equals itself here."""
    return row.SerializeToString(deterministic=True)


def _line(what: object) -> str:
    return " ".join(str(what).split())
