"""Default directories of state.

Files of a run are below `hds-state` in the working directory. Files of a rig, such as its latched emergency
stop, are in one place per machine, independent of the working directory. The environment variable
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
    """Return the directories for the state of rigs, by preference: of the machine, then of the user."""
    if moved := os.environ.get(VARIABLE):
        return [Path(moved).resolve() / "rigs"]
    places = (platformdirs.site_state_path("hds", False), platformdirs.user_state_path("hds", False))
    return [path / "rigs" for path in places]
