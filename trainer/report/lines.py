"""Rows that fit the terminal: whole on a wide one or in a pipe, broken between parts on a narrow one."""

import shutil
import sys
from collections.abc import Sequence

from protos.operation.text import printable

GAP, INDENT = "  ", "    "


def width() -> int:
    """Return how wide a row may be; without bound where nobody looks at it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10**6


def row(parts: Sequence[str], most: int | None = None) -> str:
    """Return parts in a line, or in several of at most `most` letters, all but the first indented."""
    most = width() if most is None else most
    lines, line = [], ""
    for part in (printable(part) for part in parts if part):
        longer = f"{line}{GAP}{part}" if line.strip() else line + part
        if len(longer) > most and line.strip():
            lines.append(line)
            longer = INDENT + part
        line = longer
    return "\n".join([*lines, line])
