"""Where XLA keeps what it compiled, so that the next process starts warm."""

import os
from pathlib import Path


def enable() -> None:
    """Point JAX to a cache on disk, unless the environment says otherwise; call before importing JAX."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(root / "hds" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
