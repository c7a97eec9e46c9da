"""Import MuJoCo's JAX packages without their notice that the optional package `warp` is missing."""

import contextlib
import io
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
