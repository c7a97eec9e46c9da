"""Recordings out of a running trainer, and into it."""

from collections.abc import Iterable, Iterator

from protos.hds import v1
from trainer.client import CallFailed, TrainerClient
from trainer.transfer.recording import Recording

BATCH = 500
"""Transitions in a message."""


def recordings(
    client: TrainerClient, wanted: v1.Selection, summaries: Iterable[v1.SessionSummary]
) -> Iterator[Recording]:
    """Yield the sessions that have selected episodes, whole: a trainer takes no session with gaps."""
    selected = {episode.session for episode in client.episodes_of(wanted)}
    for summary in summaries:
        name, transitions = summary.session.id, []
        episodes = client.episodes(name, v1.PURPOSE_UNSPECIFIED) if name in selected else []
        for episode in sorted(episodes, key=lambda episode: episode.first_sequence):
            transitions += client.transitions(name, episode.episode)
        if transitions:
            yield Recording(summary, transitions)


def store(client: TrainerClient, recording: Recording) -> int:
    """Store what the trainer lacks of a recording; return how many transitions that were.

    A recording that was stored in part before, when something broke off, is stored to its end.

    Raises:
        CallFailed: the trainer refuses it, or has another session of that name.
    """
    session, transitions = recording.summary.session, recording.transitions
    first = transitions[0].sequence if transitions else 0
    known = client.watermark(session.id)
    if known < first:
        raise CallFailed(
            f"session {session.id} begins with transition {first} in the file, and the trainer needs {known} "
            "first: export the session whole"
        )
    if known:
        _check_same(client, recording)
    missing = [row for row in transitions if row.sequence >= known]
    client.append(
        v1.AppendRequest(session=session, transitions=missing[at : at + BATCH])
        for at in range(0, len(missing), BATCH)
    )
    return len(missing)


def _check_same(client: TrainerClient, recording: Recording) -> None:
    """Refuse a recording that differs from what is stored under its name."""
    name = recording.summary.session.id
    stored = {}
    for episode in client.episodes(name, v1.PURPOSE_UNSPECIFIED):
        stored |= {row.sequence: _bytes(row) for row in client.transitions(name, episode.episode)}
    for row in recording.transitions:
        if stored.get(row.sequence, _bytes(row)) != _bytes(row):
            raise CallFailed(
                f"the trainer has another session {name!r}, which differs in transition {row.sequence}; "
                "nothing of the file was stored"
            )


def _bytes(row: v1.Transition) -> bytes:
    """Return what tells a transition from another; NaN, which equals nothing, equals itself here."""
    return row.SerializeToString(deterministic=True)
