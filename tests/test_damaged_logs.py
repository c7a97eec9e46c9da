"""Damaged logs of other makers: told in one line that names the file, or read; no traceback, no hang.

pytest -s -m slow tests/test_damaged_logs.py       10 000 variants of each kind, some minutes each
"""

import collections
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces

from tests.pendulum_logs import swing
from tests.support.damage import damaged, files_of
from tests.support.damage import older as older_export
from tests.support.damage import recordings as exported
from tests.support.minari_data import buffer, dataset
from trainer.dynamics.windows import Segment
from trainer.logs.log_format import default_format
from trainer.tasks import load_task
from trainer.transfer import mcap_file, minari_log
from trainer.transfer.from_log import from_csv, from_parquet
from trainer.transfer.recording import Recording

PENDULUM = load_task("pendulum")
LONGEST_S, LARGEST_MB = 20.0, 1_000
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "cp037", "cp1252", "utf-7")
KINDS = ("csv", "blanks", "parquet", "lerobot", "minari", "mcap")


def written(kind: str, root: Path) -> Path:
    """Write a log as another maker's tool would."""
    rows = swing(0, seconds=1.0)[::5]
    root.mkdir()
    if kind == "minari":
        pushes = np.linspace(-1.0, 1.0, 40)[:, None].astype(np.float32)
        return dataset(root, [buffer(0, pushes), buffer(1, pushes)], spaces.Box(-1.0, 1.0, (1,)))
    if kind == "mcap":
        return older_export("mcap", root / "out", exported())
    path = root / f"log.{'csv' if kind in ('csv', 'blanks') else 'parquet'}"
    if kind in ("csv", "blanks"):
        mark = "," if kind == "csv" else "   "
        lines = [mark.join(f"{value:.6f}" for value in row) for row in rows]
        path.write_text("\n".join(["# " + mark.join(("time", "position", "velocity", "torque")), *lines]))
        return path
    table = {"time": rows[:, 0], "position": rows[:, 1], "velocity": rows[:, 2], "torque": rows[:, 3]}
    if kind == "lerobot":
        table = {
            "observation.state": pa.array(rows[:, 1:3].tolist(), pa.list_(pa.float32(), 2)),
            "action": pa.array(rows[:, 3:].tolist(), pa.list_(pa.float32())),
            "timestamp": rows[:, 0],
            "episode_index": np.zeros(len(rows), np.int64),
        }
    pq.write_table(pa.table(table), path)
    return path


def read(kind: str, path: Path) -> list[Segment] | list[Recording]:
    layout = default_format(PENDULUM)
    if kind == "minari":
        return minari_log.read(path, PENDULUM, None)[0]
    if kind == "mcap":
        return mcap_file.read(path)[0]
    return (from_csv if kind in ("csv", "blanks") else from_parquet)(path, PENDULUM, layout)[0]


def reencoded(data: bytes, chance: np.random.Generator) -> bytes:
    """Write text in another encoding, or bytes as if they were text of one."""
    encoding = ENCODINGS[int(chance.integers(len(ENCODINGS)))]
    return data.decode("latin-1").encode(encoding, errors="replace")


def outcome(kind: str, path: Path) -> str:
    """Return how a damaged file is read; any exception that is not for people fails the test."""
    began = time.monotonic()
    try:
        found = read(kind, path)
    except (ValueError, OSError) as error:
        told = str(error)
        assert path.name in told, told
        assert "\n" not in told, told
        assert len(told) < 2_000, told
        return "refused"
    finally:
        assert time.monotonic() - began < LONGEST_S
    for segment in found:
        if isinstance(segment, Segment):
            assert np.isfinite(segment.x).all()
            assert np.isfinite(segment.u).all()
    return "read"


def outcomes(kind: str, root: Path, variants: int) -> dict[str, int]:
    out = written(kind, root)
    assert outcome(kind, out) == "read"
    files = [path for path in (out.rglob("*") if out.is_dir() else files_of(out)) if path.is_file()]
    whole = {path: path.read_bytes() for path in files}
    counts: dict[str, int] = collections.Counter()
    for number in range(variants):
        chance = np.random.default_rng(number)
        path = files[number % len(files)]
        change = reencoded if number % 8 == 7 else damaged
        path.write_bytes(change(whole[path], chance))
        counts[outcome(kind, out)] += 1
        path.write_bytes(whole[path])
    return counts


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_log_of_another_maker_is_told_in_one_line_or_read(kind: str, tmp_path: Path) -> None:
    assert outcomes(kind, tmp_path / "their", 150)["refused"] > 30


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_damaged_logs_of_other_makers_are_told_or_read(kind: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{kind}: {dict(outcomes(kind, tmp_path / 'their', 10_000))}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert grown < LARGEST_MB, "a file of some kilobytes takes no gigabytes to refuse"
