"""The columns of a Parquet file of another maker: numbers, times, and lists as LeRobot writes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protos.operation.text import printable
from trainer.logs.log_format import LogFormat

STATE, ACTION, TIME = "observation.state", "action", "timestamp"
"""What LeRobot calls its columns; the first two are lists."""
LONGEST_LIST, LARGEST_EXACT = 1_000, 2**52
_UNREADABLE = (pa.ArrowException, ValueError, TypeError, LookupError, MemoryError, OverflowError, OSError)
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class ParquetTable:
    """A table of numbers; a list column `name` of length k stands for `name 0` to `name k-1`."""

    path: Path
    where: str
    names: tuple[str, ...] | None
    notes: list[str]
    _values: dict[str, np.ndarray] = field(repr=False)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self._values)

    def columns(self, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return columns as numbers [N, k], and the number of each row, from 1."""
        assert self.names is not None
        table = np.stack([self._values[self.names[place]] for place in places], axis=1)
        return table, np.arange(1, len(table) + 1)


def read_parquet(path: Path, layout: LogFormat) -> ParquetTable:
    """Read the columns that hold numbers.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet file, or a damaged one, or holds no number.
    """
    try:
        with path.open("rb") as file:  # what cannot be opened is told as that
            table = pq.read_table(file)
        values: dict[str, np.ndarray] = {}
        for name, column in zip(table.column_names, table.columns, strict=True):
            values |= _numbers(name, column, _PER_SECOND_OF.get(layout.time.factor, 1.0))
    except _UNREADABLE as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise ValueError(
            f"{path} is no Parquet file of numbers, or a damaged one ({_line(error)})"
        ) from error
    if not values:
        raise ValueError(f"{path} has no column of numbers; it has: {', '.join(table.column_names[:30])}")
    values, notes = _as_lerobot(values, layout)
    return ParquetTable(path, f"{path}", tuple(values), notes, values)


_PER_SECOND_OF = {1.0: 1.0, 1e-3: 1e3, 1e-6: 1e6, 1e-9: 1e9}
"""How many of a format's units of time make a second, by the unit's factor."""


def _numbers(name: str, column: pa.ChunkedArray, per_second: float) -> dict[str, np.ndarray]:
    """Return a column as numbers, by name; nothing of one that holds none."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(name, column)
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        since = _float(column.cast(pa.int64()))
        return {name: since / _PER_SECOND[kind.unit] * per_second}
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return {name: _float(column)}
    return {name: _float(column.cast(pa.int8()))} if pa.types.is_boolean(kind) else {}


def _float(column: pa.ChunkedArray) -> np.ndarray:
    """Return numbers; large ones, such as nanoseconds since 1970, count from the smallest of them."""
    if pa.types.is_integer(column.type) and not column.null_count and len(column):
        whole = column.to_numpy()
        smallest = whole.min()
        return (whole - smallest if abs(int(smallest)) > LARGEST_EXACT else whole).astype(float)
    return column.cast(pa.float64(), safe=False).to_numpy().astype(float)


def _lists(name: str, column: pa.ChunkedArray) -> dict[str, np.ndarray]:
    """Return the numbers of a column of lists, which are all as long; nothing of others."""
    if column.null_count or not len(column):
        return {}
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    flat, length = lists.flatten(), len(lists.flatten()) // len(column)
    if not pa.types.is_fixed_size_list(column.type):
        lengths = np.diff(lists.offsets.to_numpy(zero_copy_only=False))
        if not np.all(lengths == length):
            return {}
    numbers = pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)
    if not numbers or not 0 < length <= LONGEST_LIST:
        return {}
    table = flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).reshape(len(column), length)
    return {f"{name} {place}": table[:, place] for place in range(length)}


def _as_lerobot(values: dict[str, np.ndarray], layout: LogFormat) -> tuple[dict[str, np.ndarray], list[str]]:
    """Call LeRobot's columns as the layout does, in the task's order, unless a format says which is what."""
    states = [name for name in values if name.startswith(f"{STATE} ")]
    actions = [name for name in values if name == ACTION or name.startswith(f"{ACTION} ")]
    fits = (len(states), len(actions)) == (len(layout.states), len(layout.actions))
    if layout.given or TIME not in values or not states or not fits:
        return values, []
    called = dict(zip([TIME, *states, *actions], [c.name for c in layout.columns], strict=True))
    notes = [f"LeRobot's {old} is taken as {new!r}" for old, new in called.items()]
    return {called.get(name, name): column for name, column in values.items()}, notes


def _line(error: BaseException) -> str:
    return printable((str(error).splitlines() or [type(error).__name__])[0][:300])
