"""Damaged files."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from mcap_protobuf.writer import Writer

from protos.hds import v1
from tests.support.plain import session
from trainer.transfer import mcap_file, minari_dataset, parquet
from trainer.transfer.recording import Recording

KINDS = {"parquet": parquet, "mcap": mcap_file, "minari": minari_dataset}


def recordings() -> list[Recording]:
    """Two sessions of random numbers."""
    chance = np.random.default_rng(0)
    return [
        Recording(
            v1.SessionSummary(session=session(name), begun_unix_ns=1_700_000_000_000_000_000, tags=["cold"]),
            [
                v1.Transition(
                    sequence=sequence,
                    episode=sequence // 50,
                    purpose=v1.PURPOSE_COLLECT,
                    x=chance.normal(size=4),
                    u_requested=[chance.uniform(-1.0, 1.0)],
                    u_applied=[chance.normal()],
                    x_next=chance.normal(size=4),
                    t_ns=40_000_000 * sequence,
                    policy_version=f"v{sequence % 2}",
                    action_source=v1.ACTION_SOURCE_POLICY,
                    reason="late" if sequence % 7 == 0 else "",
                )
                for sequence in range(steps)
            ],
        )
        for name, steps in (("s1", 200), ("rig-2", 100))
    ]


def write(kind: str, root: Path, found: list[Recording]) -> Path:
    """Export to a new directory; return what to read."""
    root.mkdir()
    if kind == "minari":
        return minari_dataset.write(root, "x", found, lambda x, u: np.zeros(len(u))) / "data"
    out = root / f"out.{kind}"
    KINDS[kind].write(out, found)
    return out


def files_of(out: Path) -> list[Path]:
    return sorted(out.iterdir()) if out.is_dir() else [out]


def damaged(data: bytes, chance: np.random.Generator) -> bytes:
    """Flip a bit, cut, or write zeros over a block of any length."""
    what, at = chance.integers(3), int(chance.integers(len(data)))
    if what == 0:
        return data[:at] + bytes([data[at] ^ (1 << int(chance.integers(8)))]) + data[at + 1 :]
    if what == 1:
        return data[:at]
    size = min(len(data) - at, int(len(data) ** chance.uniform()))
    return data[:at] + bytes(size) + data[at + size :]


def metadata_of(out: Path) -> dict[bytes, bytes]:
    with pq.ParquetFile(out) as file:
        return file.metadata.metadata


def older(kind: str, root: Path, found: list[Recording]) -> Path:
    """Write what versions without checksums wrote."""
    out = write(kind, root, found)
    if kind == "parquet":
        known = {parquet.SESSIONS_WITHOUT_DIGEST: metadata_of(out)[parquet.SESSIONS]}
        pq.write_table(pq.read_table(out).replace_schema_metadata(known), out)
    elif kind == "mcap":
        with out.open("wb") as file, Writer(file) as writer:
            for summary, rows in found:
                writer.write_message(mcap_file.SESSIONS, summary, 0, 0)
                topic = f"/{summary.session.id}{mcap_file.TRANSITION}"
                for row in rows:
                    writer.write_message(topic, row, row.t_ns, row.t_ns, row.sequence)
    else:
        path = out / "metadata.json"
        metadata = json.loads(path.read_text())
        metadata[minari_dataset.KEY_WITHOUT_DIGEST] = metadata.pop(minari_dataset.KEY)
        del metadata[minari_dataset.DIGEST]
        path.write_text(json.dumps(metadata))
    return out
