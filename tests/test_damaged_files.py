"""Exported files with a flipped bit, cut, or with a block of zeros: refused, or read as the same data."""

import collections
import json
import resource
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mcap_protobuf.writer import Writer

from protos.hds import v1
from tests.plain import session
from trainer.transfer import mcap_file, minari_dataset, parquet
from trainer.transfer.recording import NotARecording, Recording

KINDS = {"parquet": parquet, "mcap": mcap_file, "minari": minari_dataset}
MOST_MEMORY_KIB = 512 << 10
"""How much reading damaged files may add to the most memory that this process has used."""


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


def contents(found: list[Recording]) -> list[tuple[bytes, list[bytes]]]:
    return [
        (
            summary.SerializeToString(deterministic=True),
            [row.SerializeToString(deterministic=True) for row in rows],
        )
        for summary, rows in found
    ]


def damaged(data: bytes, chance: np.random.Generator) -> bytes:
    """Flip a bit, cut, or write zeros over a block of any length."""
    what, at = chance.integers(3), int(chance.integers(len(data)))
    if what == 0:
        return data[:at] + bytes([data[at] ^ (1 << int(chance.integers(8)))]) + data[at + 1 :]
    if what == 1:
        return data[:at]
    size = min(len(data) - at, int(len(data) ** chance.uniform()))
    return data[:at] + bytes(size) + data[at + size :]


def refusal(out: Path, error: NotARecording) -> str:
    """Return that a file was refused, if it was in one line that names it."""
    return "refused" if str(out) in str(error) and "\n" not in str(error) else str(error)


def outcome(module: ModuleType, out: Path, written: list[tuple[bytes, list[bytes]]]) -> str:
    """Return how a damaged file is read; any other exception fails the test."""
    try:
        found, notes = module.read(out)
    except NotARecording as error:
        return refusal(out, error)
    assert not notes, "an export of this version is never read without its checksum"
    return "identical" if contents(found) == written else "wrong"


def outcomes(kind: str, root: Path, variants: int) -> dict[str, int]:
    """Read a file in many damaged variants and count the outcomes."""
    found = recordings()
    out, written = write(kind, root, found), contents(found)
    assert outcome(KINDS[kind], out, written) == "identical"
    before, whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, {}
    for path in files_of(out):
        whole[path] = path.read_bytes()
    counts: dict[str, int] = collections.Counter()
    for number in range(variants):
        chance = np.random.default_rng(number)
        path = list(whole)[number % len(whole)]
        path.write_bytes(damaged(whole[path], chance))
        counts[outcome(KINDS[kind], out, written)] += 1
        path.write_bytes(whole[path])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY_KIB
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_export_is_refused_in_one_line_or_read_as_the_same_data(kind: str, tmp_path: Path) -> None:
    counts = outcomes(kind, tmp_path / "out", 400)
    assert counts.keys() <= {"refused", "identical"}
    assert counts["refused"] > 350


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_damaged_exports_are_refused_or_read_as_the_same_data(kind: str, tmp_path: Path) -> None:
    counts = outcomes(kind, tmp_path / "out", 10_000)
    print(f"{kind}: {dict(counts)}")
    assert counts.keys() <= {"refused", "identical"}


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_the_last_kilobyte_can_be_lost_unnoticed(kind: str, tmp_path: Path) -> None:
    found = recordings()
    out, written = write(kind, tmp_path / "out", found), contents(found)
    for path in files_of(out):
        whole = path.read_bytes()
        for at in range(max(0, len(whole) - 1000), len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert outcome(KINDS[kind], out, written) in ("refused", "identical")
        path.write_bytes(whole)


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


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_of_an_older_version_is_read_and_said_to_have_no_checksum(
    kind: str, tmp_path: Path
) -> None:
    out = older(kind, tmp_path / "out", recordings())
    found, (note,) = KINDS[kind].read(out)
    assert contents(found) == contents(recordings())
    assert note.startswith(f"{out} has no checksum of its contents")


@pytest.mark.parametrize("kind", ["parquet", "mcap"])
def test_a_damaged_export_of_an_older_version_is_refused_in_one_line_or_read(
    kind: str, tmp_path: Path
) -> None:
    out = older(kind, tmp_path / "out", recordings())
    whole, refused = out.read_bytes(), 0
    for number in range(400):
        out.write_bytes(damaged(whole, np.random.default_rng(number)))
        try:
            KINDS[kind].read(out)
        except NotARecording as error:
            refused += refusal(out, error) == "refused"
    assert refused > 200


def test_a_file_is_not_taken_for_an_older_one_when_its_checksum_is_gone(tmp_path: Path) -> None:
    found = recordings()
    for kind, key in (("parquet", parquet.DIGEST), ("minari", minari_dataset.DIGEST.encode())):
        out = write(kind, tmp_path / kind, found)
        path = files_of(out)[-1]
        path.write_bytes(path.read_bytes().replace(key, key.upper()))
        with pytest.raises(NotARecording, match="damaged"):
            KINDS[kind].read(out)
    out = write("mcap", tmp_path / "mcap", found)
    data = out.read_bytes()
    at = data.rindex(b"\x0f\x04" + bytes(7)) + 9
    out.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    with pytest.raises(NotARecording, match="the checksum of its data section is missing"):
        mcap_file.read(out)


def test_a_file_that_other_tools_wrote_anew_is_refused_with_both_digests(tmp_path: Path) -> None:
    out = write("parquet", tmp_path / "out", recordings())
    table, known = pq.read_table(out), metadata_of(out)
    numbers = pa.array(np.arange(len(table)), pa.int64())
    table = table.set_column(table.column_names.index("t_ns"), "t_ns", numbers)
    pq.write_table(table.replace_schema_metadata(known), out)
    with pytest.raises(NotARecording, match=r"changed after its export: its SHA-256 is [0-9a-f]{64}, and"):
        parquet.read(out)
