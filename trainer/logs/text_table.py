"""The columns of a text file: its encoding, which line names them, what separates them, what is a row.

All of this is looked at, not asked: rigs write commas, semicolons, tabs or aligned blanks, names with units,
in quotes or behind `#` as NumPy does, or no names at all. What is found is told.
"""

import csv
import io
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from protos.operation.text import shortened

DELIMITERS = (",", ";", "\t", " ")
"""By preference; a blank stands for any run of blanks and tabs."""
COMMENTS = ("#", "%")
LOOKED_AT = 50
"""Rows that tell what separates the cells."""
_BOMS = ((b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
         (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))  # fmt: skip
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class TextTable:
    """A table in a text file.

    Attributes:
        path: the file.
        where: where its names are, for messages.
        names: of the columns; None if no line names them.
        width: number of columns.
        notes: what is to be known of it.
    """

    path: Path
    where: str
    names: tuple[str, ...] | None
    width: int
    notes: list[str]
    _rows: list[str] = field(repr=False)
    _numbers: np.ndarray = field(repr=False)
    _delimiter: str = ","

    def columns(self, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return columns as numbers [N, k], and the line of each row [N]; an empty cell is NaN.

        Raises:
            ValueError: with the line, if a row has another number of cells, or a cell is no number.
        """
        blank, width = self._delimiter == " ", self.width
        even = (
            all(len(row.split()) == width for row in self._rows)
            if blank
            else all(row.count(self._delimiter) == width - 1 for row in self._rows)
        )
        if even and self._rows:
            try:
                text, mark = io.StringIO("\n".join(self._rows)), None if blank else self._delimiter
                table = np.loadtxt(text, delimiter=mark, usecols=list(places), ndmin=2, comments=None)
                return table, self._numbers
            except ValueError:
                pass  # found below, cell by cell
        rows = []
        for number, row in zip(self._numbers, self._rows, strict=True):
            cells = cells_of(row, self._delimiter)
            if len(cells) != width:
                has = f"{len(cells)} cells, where the header has {width}"
                raise ValueError(f"{self.path}, line {number}: {has}")
            rows.append([self._number(int(number), place, cells[place]) for place in places])
        return np.array(rows, float).reshape(-1, len(places)), self._numbers

    def _number(self, line: int, place: int, cell: str) -> float:
        if not cell.strip():
            return float("nan")
        try:
            return float(cell)
        except ValueError as error:
            name = shortened(self.names[place], 40) if self.names else f"column {place + 1}"
            hint = "; write decimals with a point" if "," in cell else ""
            value = shortened(cell.strip(), 80)
            raise ValueError(f"{self.path}, line {line}: {name!r} is {value!r}, no number{hint}") from error


def read_table(path: Path) -> TextTable:
    """Find the table in a text file.

    Raises:
        OSError: it cannot be read.
        ValueError: naming file and line, if it is no text, or holds no table.
    """
    text, notes = decoded(path)
    lines = re.split(r"\r\n|\r|\n", text)
    said = [i for i, line in enumerate(lines) if line.strip()]
    plain = [i for i in said if not lines[i].lstrip().startswith(COMMENTS)]
    if not plain:
        raise ValueError(f"{path} is empty; expected a line with the columns' names, then numbers")
    first, headless = plain[0], _is_data(lines[plain[0]])
    rows = plain if headless else plain[1:]
    delimiter = _delimiter([lines[i] for i in rows[:LOOKED_AT]], lines[first])
    if delimiter != ",":
        notes.append(f"columns are separated by {'blanks' if delimiter == ' ' else repr(delimiter)}")
    cells = [cells_of(lines[i], delimiter) for i in rows[:LOOKED_AT]]
    width = max(map(len, cells), default=0) if headless else len(cells_of(lines[first], delimiter))
    names: tuple[str, ...] | None = None if headless else tuple(cells_of(lines[first], delimiter))
    where = f"{path}, line {first + 1}"
    before = [i for i in said if i < first] if headless else []
    if before and (behind := _names_in_comment(lines[before[-1]], delimiter, width)):
        names, where = behind, f"{path}, line {before[-1] + 1}"
        notes.append(f"the names of the columns are those of the comment in line {before[-1] + 1}")
    left_out = [i for i in said if i > rows[0] and lines[i].lstrip().startswith(COMMENTS)] if rows else []
    if left_out:
        notes.append(f"{len(left_out)} rows are comments, and left out; the first is line {left_out[0] + 1}")
    body = _points([lines[i] for i in rows], delimiter, notes)
    return TextTable(path, where, names, width, notes, body, np.array(rows, int) + 1, delimiter)


def decoded(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file, and a note if it is not UTF-8.

    Raises:
        OSError: it cannot be read.
        ValueError: naming the file and the line, if it is no text.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "")
    if not encoding and b"\0" in content[:1000]:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be" if content[:1] == b"\0" else ""
    notes = [f"the file is in {encoding}"] if encoding and encoding != "utf-8-sig" else []
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            line = content[: error.start].count(b"\n") + 1
            raise ValueError(f"{path}, line {line}: is not {encoding} as its beginning says") from error
        text = content.decode("cp1252", errors="replace")
        notes.append(f"the file is not UTF-8 (byte {error.start}); it is read as Windows' cp1252")
    if (zero := text.find("\0")) >= 0:
        line = len(re.split(r"\r\n|\r|\n", text[:zero]))
        raise ValueError(f"{path}, line {line}: has a zero byte; it is no text, or a damaged one")
    return text, notes


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line, without blanks around them, quotes, or an empty one at the end."""
    if delimiter == " ":
        try:
            return shlex.split(line, posix=True)
        except ValueError:
            return line.split()
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        cells = line.split(delimiter)
    if len(cells) > 1 and not cells[-1].strip():
        cells = cells[:-1]
    return [cell.strip() for cell in cells]


def _is_data(line: str) -> bool:
    """Return whether a line is of numbers, whatever separates them."""
    return any(
        len(cells) > 1 and all(map(_is_number, cells))
        for cells in (cells_of(line, mark) for mark in DELIMITERS)
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return bool(_COMMA.fullmatch(cell))
    return True


def _delimiter(rows: list[str], header: str) -> str:
    """Return what separates the cells: what splits rows and header alike, into numbers if anything does."""

    def merit(mark: str) -> tuple[bool, int, float, int]:
        widths = [len(cells) for cells in (cells_of(row, mark) for row in rows)] or [0]
        usual = max(set(widths), key=widths.count)
        cells = [cell for row in rows for cell in cells_of(row, mark)]
        numbers = sum(map(_is_number, cells)) / max(1, len(cells))
        alike = len(cells_of(header, mark)) == usual
        return usual > 1, round(10 * numbers), float(alike), -DELIMITERS.index(mark)

    if not rows:
        return max(DELIMITERS, key=lambda mark: (len(cells_of(header, mark)), -DELIMITERS.index(mark)))
    return max(DELIMITERS, key=merit)


def _names_in_comment(line: str, delimiter: str, width: int) -> tuple[str, ...]:
    """Return the names of the columns behind a comment's mark; nothing if there are not as many."""
    cells = cells_of(line.lstrip().lstrip("".join(COMMENTS)).strip(), delimiter)
    return tuple(cells) if len(cells) == width and not all(map(_is_number, cells)) else ()


def _points(rows: list[str], delimiter: str, notes: list[str]) -> list[str]:
    """Return rows without empty cells at their ends, with decimal points where all decimals are commas."""
    if delimiter != " " and rows and all(row.rstrip(" ").endswith(delimiter) for row in rows):
        rows = [row.rstrip(" ")[:-1] for row in rows]
    if delimiter == "," or any("." in row for row in rows):
        return rows
    if any(_COMMA.fullmatch(cell) for row in rows[:LOOKED_AT] for cell in cells_of(row, delimiter)):
        notes.append("decimals are written with a comma")
        return [row.replace(",", ".") for row in rows]
    return rows
