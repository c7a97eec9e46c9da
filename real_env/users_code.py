"""The line of a user's code that raised an error."""

import traceback
from pathlib import Path

_OURS = Path(__file__).parent


def users_line(error: BaseException, plant: str = "") -> str:
    """Return the line with file and number; empty if there is none.

    It is the last line in the traceback of the file of `plant`, as in `--plant FILE.py:CLASS`, else the last
    one outside of this package.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = Path(plant.rpartition(":")[0] or "nothing").resolve()
    named = [frame for frame in frames if Path(frame.filename).resolve() == own]
    others = [frame for frame in frames if not Path(frame.filename).resolve().is_relative_to(_OURS)]
    for frame in reversed(named or others):
        return f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
    return ""
