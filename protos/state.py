"""Where the programs keep their state, unless told otherwise.

What a run makes lies below `hds-state` in the working directory. What belongs to a rig, such as its emergency
stop, lies in one place per machine, whatever directory a run is started in. The environment variable
HDS_STATE_DIR moves both.
"""

import os
from pathlib import Path

import platformdirs

VARIABLE = "HDS_STATE_DIR"


def state_dir(part: str) -> Path:
    """Return the default directory of `part`: trainer, controller or real_env."""
    return Path(os.environ.get(VARIABLE) or "hds-state") / part


def rig_dirs() -> list[Path]:
    """Return where the state of rigs may lie, by preference: for the machine, then for the user."""
    if moved := os.environ.get(VARIABLE):
        return [Path(moved).resolve() / "rigs"]
    places = (platformdirs.site_state_path("hds", False), platformdirs.user_state_path("hds", False))
    return [path / "rigs" for path in places]
