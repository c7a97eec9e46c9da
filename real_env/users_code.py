"""Which line of a user's own code raised an error."""

import traceback
from pathlib import Path

_OURS = Path(__file__).parent


def users_line(error: BaseException, plant: str = "") -> str:
    """Return the line to look at, with file and number; empty if there is none.

    That is the last one of the file of `plant`, as in `--plant FILE.py:CLASS`, else the last one that is
    not of this package.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = Path(plant.rpartition(":")[0] or "nothing").resolve()
    named = [frame for frame in frames if Path(frame.filename).resolve() == own]
    others = [frame for frame in frames if not Path(frame.filename).resolve().is_relative_to(_OURS)]
    for frame in reversed(named or others):
        return f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
    return ""
