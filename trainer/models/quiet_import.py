"""Drop two notices of Brax and MuJoCo, and nothing else: that `warp` is missing, and who maintains Brax."""

import contextlib
import io
import warnings
from collections.abc import Iterator

NOTICES = ("Failed to import warp", "Failed to import mujoco_warp")


@contextlib.contextmanager
def without_warp_notice() -> Iterator[None]:
    """Drop exactly these lines of standard output; print whatever else was written."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        yield
    for line in written.getvalue().splitlines():
        if not line.startswith(NOTICES):
            print(line)


@contextlib.contextmanager
def without_maintenance_notice() -> Iterator[None]:
    """Ignore exactly Brax's warning that its systems and environments are no longer maintained."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Brax System, piplines and environments")
        yield
