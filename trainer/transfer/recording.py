"""A session as it goes into files and comes out of them: the messages of the wire, which lose nothing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict, ParseDict

from protos.hds import v1

LONGEST_REASON = 300
"""Letters that are shown of a library's own message."""


class Recording(NamedTuple):
    """A session and all its transitions, in order."""

    summary: v1.SessionSummary
    transitions: list[v1.Transition]


class NotARecording(ValueError):
    """A file is not what HDS exports, or no longer."""


def damaged(path: Path, kind: str, why: object) -> NotARecording:
    """Return in one line why a file can't be read as what it should be."""
    words = " ".join(str(why).split()) or type(why).__name__
    return NotARecording(f"{path} is no {kind}, or a damaged one ({words[:LONGEST_REASON]})")


def unverified(path: Path) -> str:
    """Return the note on a file that is read without its contents being verified."""
    return f"{path} has no checksum of its contents, as exports of older versions: damage may go unnoticed"


def to_json(summary: v1.SessionSummary) -> dict[str, Any]:
    """Return what is known of a session as plain JSON data."""
    return MessageToDict(summary, preserving_proto_field_name=True)


def from_json(data: dict[str, Any]) -> v1.SessionSummary:
    """Rebuild what `to_json` gave; what a newer version added is left out."""
    return ParseDict(data, v1.SessionSummary(), ignore_unknown_fields=True)


def by_session(
    summaries: Iterable[v1.SessionSummary], transitions: Iterable[tuple[str, v1.Transition]], where: str
) -> list[Recording]:
    """Put transitions to their sessions, in order.

    Raises:
        NotARecording: naming `where` they are from, if a transition's session is not there, or some are
            missing or there twice.
    """
    found = {summary.session.id: Recording(summary, []) for summary in summaries}
    for name, transition in transitions:
        if name not in found:
            raise NotARecording(f"{where}: transition {transition.sequence} is of no session that is there")
        found[name].transitions.append(transition)
    for name, recording in found.items():
        recording.transitions.sort(key=lambda transition: transition.sequence)
        sequences = [transition.sequence for transition in recording.transitions]
        first = sequences[0] if sequences else 0
        if sequences != list(range(first, first + len(sequences))):
            raise NotARecording(f"{where}: session {name} has missing or doubled transitions")
    return list(found.values())
