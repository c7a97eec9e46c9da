"""A library that makes a disk fail."""

import subprocess
from pathlib import Path

from tests.support.firmware import compiler


def built_library(directory: Path) -> Path:
    """Return the library of bad_disk.c, for LD_PRELOAD."""
    library, source = directory / "bad_disk.so", Path(__file__).parents[1] / "bad_disk.c"
    command = [*compiler(), "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library
