"""Parquet, a row for each transition; what is known of the sessions is in the file's metadata."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protos.hds import v1
from trainer.transfer.recording import NotARecording, Recording, by_session, from_json, to_json

SESSIONS = b"hds.sessions"
_FLOATS, _TEXT = pa.list_(pa.float32()), pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("session", _TEXT),
        ("sequence", pa.uint64()),
        ("episode", pa.uint32()),
        ("purpose", pa.uint8()),
        ("x", _FLOATS),
        ("u_requested", _FLOATS),
        ("u_applied", _FLOATS),
        ("x_next", _FLOATS),
        ("t_ns", pa.int64()),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        ("policy_version", _TEXT),
        ("action_source", pa.uint8()),
        ("reason", _TEXT),
    ]
)
_FIELDS = [name for name in SCHEMA.names if name != "session"]


def write(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings, one row group or more each."""
    summaries = []
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for recording in recordings:
            summaries.append(to_json(recording.summary))
            columns = {
                name: [getattr(transition, name) for transition in recording.transitions] for name in _FIELDS
            }
            columns["session"] = [recording.summary.session.id] * len(recording.transitions)
            writer.write_table(pa.table(columns, schema=SCHEMA))
        writer.add_key_value_metadata({SESSIONS: json.dumps(summaries).encode()})


def read(path: Path) -> list[Recording]:
    """Read what `write` wrote.

    Raises:
        NotARecording: it is something else.
    """
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise NotARecording(f"{path} is no Parquet file ({error})") from error
    with file:
        known = (file.metadata.metadata or {}).get(SESSIONS)
        missing = set(SCHEMA.names) - set(file.schema_arrow.names)
        if known is None or missing:
            lacks = f"the columns {', '.join(sorted(missing))}" if missing else "the key 'hds.sessions'"
            raise NotARecording(f"{path} was not exported by HDS (it lacks {lacks}); a log needs --task")
        rows = file.read(columns=SCHEMA.names).to_pylist()
    found = ((row.pop("session"), v1.Transition(**row)) for row in rows)
    return by_session(map(from_json, json.loads(known)), found, str(path))
