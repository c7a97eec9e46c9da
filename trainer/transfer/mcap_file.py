"""MCAP with protobuf schemas: `/sessions` and, for each session, `/SESSION/transition`; Foxglove plots it.

Times are the start of each control step on the wall clock, as far as it is known. The checksums of MCAP
cover every byte, and are checked before anything is parsed.
"""

import struct
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from google.protobuf.message import DecodeError, Message
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader
from mcap.well_known import MessageEncoding
from mcap.writer import Writer
from mcap_protobuf.schema import register_schema
from zstandard import ZstdError

from protos.hds import v1
from trainer.transfer import mcap_checksums
from trainer.transfer.recording import NotARecording, Recording, by_session, damaged, unverified

SESSIONS, TRANSITION = "/sessions", "/transition"
LIBRARY = "HDS with checksums"
"""Named in the header of files whose data section has a checksum; without one, they are refused."""
_LONGEST_HEADER = 100
_UNREADABLE = (McapError, DecodeError, ZstdError, struct.error, ValueError, LookupError, RuntimeError,
               OverflowError, MemoryError)  # fmt: skip


def write(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings."""
    with path.open("wb") as file:
        writer = Writer(file, enable_data_crcs=True)
        writer.start(library=LIBRARY)
        summary_schema = register_schema(writer, v1.SessionSummary)
        transition_schema = register_schema(writer, v1.Transition)
        sessions = writer.register_channel(SESSIONS, MessageEncoding.Protobuf, summary_schema)
        for summary, transitions in recordings:
            began = summary.begun_unix_ns
            _write_message(writer, sessions, summary, began)
            topic = f"/{summary.session.id}{TRANSITION}"
            channel = writer.register_channel(topic, MessageEncoding.Protobuf, transition_schema)
            for transition in transitions:
                at = began + max(0, transition.t_ns)
                _write_message(writer, channel, transition, at, transition.sequence & 0xFFFFFFFF)
        writer.finish()


def read(path: Path) -> tuple[list[Recording], list[str]]:
    """Read what `write` wrote; return it, and what is to be known of it.

    Raises:
        OSError: it cannot be read.
        NotARecording: it is something else, or damaged.
    """
    data = path.read_bytes()
    try:
        covered = mcap_checksums.check(data)
        if not covered and LIBRARY.encode() in data[:_LONGEST_HEADER]:
            raise ValueError("the checksum of its data section is missing")
        summaries, transitions = _messages(data)
    except _UNREADABLE as error:
        raise damaged(path, "MCAP file", error) from error
    if not summaries:
        raise NotARecording(f"{path} was not exported by HDS: it has no messages on {SESSIONS}")
    notes = [] if covered else [unverified(path)]
    return by_session(summaries, transitions, str(path)), notes


def _write_message(writer: Writer, channel: int, message: Message, at: int, sequence: int = 0) -> None:
    writer.add_message(channel, at, message.SerializeToString(), at, sequence)


def _messages(data: bytes) -> tuple[list[v1.SessionSummary], list[tuple[str, v1.Transition]]]:
    """Return the summaries, and the transitions with the sessions they belong to."""
    summaries: list[v1.SessionSummary] = []
    transitions: list[tuple[str, v1.Transition]] = []
    reader = NonSeekingReader(BytesIO(data), validate_crcs=True, record_size_limit=len(data))
    for schema, channel, message in reader.iter_messages(log_time_order=False):
        name = schema.name if schema else ""
        if name == v1.SessionSummary.DESCRIPTOR.full_name:
            summaries.append(v1.SessionSummary.FromString(message.data))
        elif name == v1.Transition.DESCRIPTOR.full_name:
            session = channel.topic.removeprefix("/").removesuffix(TRANSITION)
            transitions.append((session, v1.Transition.FromString(message.data)))
    return summaries, transitions
