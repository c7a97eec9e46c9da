"""Where XLA keeps what it compiled, so that the next process starts warm."""

import os
import sys
from pathlib import Path

DIRECTORY, LEAST_SECONDS = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"


def enable() -> None:
    """Point JAX, in this process and its children, to a cache on disk; the environment has the last word."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # by itself JAX would keep only what compiled for a second; a fit has fifty small functions too
    for name, value in ((DIRECTORY, str(root / "hds" / "jax")), (LEAST_SECONDS, "0")):
        os.environ.setdefault(name.upper(), value)
    if "jax" in sys.modules:  # it has read the environment already
        import jax

        jax.config.update(DIRECTORY, os.environ[DIRECTORY.upper()])
        jax.config.update(LEAST_SECONDS, float(os.environ[LEAST_SECONDS.upper()]))
