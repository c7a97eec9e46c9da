"""Exported files with a flipped bit, cut, or with a block of zeros: refused, or read as the same data."""

import collections
import resource
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.damage import KINDS, damaged, files_of, metadata_of, older, recordings, write
from trainer.transfer import mcap_file, minari_dataset, parquet
from trainer.transfer.recording import NotARecording, Recording

MOST_MEMORY_KIB = 512 << 10
"""How much reading damaged files may add to the most memory that this process has used."""


def contents(found: list[Recording]) -> list[tuple[bytes, list[bytes]]]:
    return [
        (
            summary.SerializeToString(deterministic=True),
            [row.SerializeToString(deterministic=True) for row in rows],
        )
        for summary, rows in found
    ]


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
