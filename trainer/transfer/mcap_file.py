"""MCAP with protobuf schemas: `/sessions` and, for each session, `/SESSION/transition`; Foxglove plots it.

Times are the start of each control step on the wall clock, as far as it is known.
"""

from collections.abc import Iterable
from pathlib import Path

from google.protobuf.message import DecodeError
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap_protobuf.writer import Writer

from protos.hds import v1
from trainer.transfer.recording import NotARecording, Recording, by_session

SESSIONS, TRANSITION = "/sessions", "/transition"


def write(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings."""
    with path.open("wb") as file, Writer(file) as writer:
        for summary, transitions in recordings:
            began = summary.begun_unix_ns
            writer.write_message(SESSIONS, summary, began, began)
            topic = f"/{summary.session.id}{TRANSITION}"
            for transition in transitions:
                at = began + max(0, transition.t_ns)
                writer.write_message(topic, transition, at, at, transition.sequence & 0xFFFFFFFF)


def read(path: Path) -> list[Recording]:
    """Read what `write` wrote.

    Raises:
        NotARecording: it is something else.
    """
    summaries: list[v1.SessionSummary] = []
    transitions: list[tuple[str, v1.Transition]] = []
    try:
        with path.open("rb") as file:
            for schema, channel, message in make_reader(file).iter_messages():
                name = schema.name if schema else ""
                if name == v1.SessionSummary.DESCRIPTOR.full_name:
                    summaries.append(v1.SessionSummary.FromString(message.data))
                elif name == v1.Transition.DESCRIPTOR.full_name:
                    session = channel.topic.removeprefix("/").removesuffix(TRANSITION)
                    transitions.append((session, v1.Transition.FromString(message.data)))
    except (McapError, DecodeError) as error:
        raise NotARecording(f"{path} is no MCAP file, or a damaged one ({error})") from error
    if not summaries:
        raise NotARecording(f"{path} was not exported by HDS: it has no messages on {SESSIONS}")
    return by_session(summaries, transitions, str(path))
