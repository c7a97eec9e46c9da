"""Parquet, a row for each transition; what is known of the sessions is in the file's metadata.

The metadata also hold the SHA-256 of the whole file, in which its own 64 digits count as zeros. It is
checked before anything is parsed.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.json_format import ParseError

from protos.hds import v1
from trainer.transfer.recording import (
    NotARecording,
    Recording,
    by_session,
    damaged,
    from_json,
    to_json,
    unverified,
)

SESSIONS, DIGEST = b"hds.recordings", b"hds.sha256"
SESSIONS_WITHOUT_DIGEST = b"hds.sessions"
"""What the sessions' key was called before there was a digest; files with the other key must have one."""
_BLANK = b"0" * 64
_DIGITS = re.compile(re.escape(DIGEST) + rb"..([0-9a-f]{64})", re.DOTALL)  # type and length in between
_TAIL = 8
"""Bytes behind the metadata: their length, and 'PAR1'."""
_UNREADABLE = (pa.ArrowException, ParseError, ValueError, LookupError, TypeError, OSError, OverflowError,
               MemoryError)  # fmt: skip
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
        ("end", pa.uint8()),
    ]
)
_FIELDS = [name for name in SCHEMA.names if name != "session"]


def write(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings, one row group or more each."""
    summaries = []
    with pq.ParquetWriter(path, SCHEMA, write_page_checksum=True) as writer:
        for recording in recordings:
            summaries.append(to_json(recording.summary))
            columns = {
                name: [getattr(transition, name) for transition in recording.transitions] for name in _FIELDS
            }
            columns["session"] = [recording.summary.session.id] * len(recording.transitions)
            writer.write_table(pa.table(columns, schema=SCHEMA))
        writer.add_key_value_metadata({SESSIONS: json.dumps(summaries).encode(), DIGEST: _BLANK})
    _write_digest(path)


def read(path: Path) -> tuple[list[Recording], list[str]]:
    """Read what `write` wrote; return it, and what is to be known of it.

    Raises:
        OSError: it cannot be read.
        NotARecording: it is something else, or damaged.
    """
    data = path.read_bytes()
    if not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        raise damaged(path, "Parquet file", "it does not begin and end as they do")
    if SESSIONS in data or DIGEST in data:
        _check_digest(path, data)
        key, notes = SESSIONS, []
    elif SESSIONS_WITHOUT_DIGEST in data:
        key, notes = SESSIONS_WITHOUT_DIGEST, [unverified(path)]
    else:
        key = SESSIONS.decode()
        raise NotARecording(f"{path} was not exported by HDS (it lacks the key {key!r}); a log needs --task")
    try:
        return _recordings(path, data, key), notes
    except NotARecording:
        raise
    except _UNREADABLE as error:
        raise damaged(path, "Parquet file", error) from error


def _recordings(path: Path, data: bytes, key: bytes) -> list[Recording]:
    limit = len(data)  # no text and no list in the metadata is longer than the file
    with pq.ParquetFile(
        pa.BufferReader(data),
        page_checksum_verification=True,
        thrift_string_size_limit=limit,
        thrift_container_size_limit=limit,
    ) as file:
        known = (file.metadata.metadata or {}).get(key)
        there = [name for name in SCHEMA.names if name in file.schema_arrow.names]
        missing = set(SCHEMA.names) - set(there) - {"end"}  # which earlier versions did not write
        if known is None or missing:
            lacks = f"the columns {', '.join(sorted(missing))}" if missing else f"the key {key.decode()!r}"
            raise NotARecording(f"{path} was not exported by HDS (it lacks {lacks}); a log needs --task")
        rows = file.read(columns=there).to_pylist()
    found = ((row.pop("session"), v1.Transition(**row)) for row in rows)
    return by_session(map(from_json, json.loads(known)), found, str(path))


def _write_digest(path: Path) -> None:
    """Put the digest in the place of its zeros."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(-_TAIL, os.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
        begin = file.seek(-_TAIL - size, os.SEEK_END)
        place = _place_of_digits(file.read(size))
        file.seek(begin + place)
        file.write(digest.encode())


def _check_digest(path: Path, data: bytes) -> None:
    try:
        place = _place_of_digits(data)
    except ValueError as error:
        raise damaged(path, "Parquet file", error) from error
    found, view = hashlib.sha256(), memoryview(data)
    for part in (view[:place], _BLANK, view[place + len(_BLANK) :]):
        found.update(part)
    written = data[place : place + len(_BLANK)].decode()
    if found.hexdigest() != written:
        raise NotARecording(
            f"{path} is damaged, or was changed after its export: its SHA-256 is {found.hexdigest()}, and "
            f"{written} was written"
        )


def _place_of_digits(data: bytes) -> int:
    found = _DIGITS.match(data, max(0, data.rfind(DIGEST)))
    if found is None:
        raise ValueError(f"its key {DIGEST.decode()!r} holds no SHA-256")
    return found.start(1)
