"""Objects from users' files, named `path/to/file.py:NAME`.

The path is relative to the directory in which the program was started, and the file must lie beneath it: a
name that comes over the wire must not run any file of the machine.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.models.quiet_import import without_maintenance_notice, without_warp_notice


def is_file(name: str) -> bool:
    """Return whether a name is that of a file, which is run when it is loaded."""
    return ":" in name


def user_file(kind: str, name: str) -> Path:
    """Return the file of a name; `kind` is what it names, such as "task".

    Raises:
        ValueError: there is no such file, or it is not beneath the current directory.
    """
    path = Path(name.rpartition(":")[0])
    here = Path.cwd().resolve()
    if not path.resolve().is_relative_to(here):
        raise ValueError(f"{kind} {name!r}: {kind}s are loaded from files beneath {here} only")
    if not path.is_file():
        raise ValueError(f"{kind} {name!r}: there is no file {path} beneath {here}; write FILE.py:NAME")
    return path


@contextlib.contextmanager
def explained(kind: str, name: str, what: object) -> Iterator[None]:
    """Turn any exception of a user's code into a `ValueError`, and suppress Brax's notices."""
    try:
        with without_maintenance_notice(), without_warp_notice():
            yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"{kind} {name!r}: {what} fails with {type(error).__name__}: {error}") from error


def load_object(kind: str, name: str) -> Any:
    """Run the file of a name, and return the object.

    Raises:
        ValueError: the file is not beneath the current directory, fails, or does not define the object.
    """
    path, attribute = user_file(kind, name), name.rpartition(":")[2]
    spec = importlib.util.spec_from_file_location(f"hds_{kind}_{path.stem}".replace(" ", "_"), path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{kind} {name!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there for their types
    if (beside := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, beside)  # the files beside it are what it may import
    with explained(kind, name, path):
        spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise ValueError(f"{kind} {name!r}: {path} defines no {attribute}")
    return getattr(module, attribute)
