"""The tasks that `--task` knows: one file each, or a file of the user's own."""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.models.quiet_import import without_maintenance_notice, without_warp_notice

if TYPE_CHECKING:
    from trainer.tasks.task import Task

TASKS = ("cartpole_swingup", "cartpole_balance", "cartpole_walls", "pendulum")


def load_task(name: str) -> "Task":
    """Return the task called `name`, or that of `path/to/file.py:NAME`, a `Task` or what returns one.

    The path is relative to the directory that the program was started in, and the file must lie
    beneath it: a name that comes over the wire must not run any file of this machine. A task from a
    file goes by this whole name everywhere.

    Raises:
        ValueError: naming the choices, if there is none of that name.
    """
    if is_file(name):
        return _from_file(name, _task_file(name).stat().st_mtime_ns)
    if name not in TASKS:
        raise ValueError(
            f"unknown task {name!r}; choose one of: {', '.join(TASKS)}, or give my_task.py:MyTask"
        )
    return importlib.import_module(f"trainer.tasks.{name}").TASK


def is_file(name: str) -> bool:
    """Return whether a task's name is that of a file, which is run when it is loaded."""
    return ":" in name


def _task_file(name: str) -> Path:
    path = Path(name.rpartition(":")[0])
    here = Path.cwd().resolve()
    if not path.resolve().is_relative_to(here):
        raise ValueError(f"task {name!r}: tasks are loaded from files beneath {here} only")
    if not path.is_file():
        raise ValueError(f"task {name!r}: there is no file {path} beneath {here}; write my_task.py:MyTask")
    return path


@contextlib.contextmanager
def _told_of(name: str, what: object) -> Iterator[None]:
    """Turn whatever a user's file raises into words, and keep Brax's notices from them."""
    try:
        with without_maintenance_notice(), without_warp_notice():
            yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"task {name!r}: {what} fails with {type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=256)
def _from_file(name: str, changed_ns: int) -> "Task":
    """Load the task of a file that was last changed at `changed_ns`; the same file gives the same task."""
    from trainer.tasks.task import Task

    del changed_ns
    path, attribute = _task_file(name), name.rpartition(":")[2]
    spec = importlib.util.spec_from_file_location(f"hds_task_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"task {name!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there for their types
    if (beside := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, beside)  # the files beside it are what it may import
    with _told_of(name, path):
        spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise ValueError(f"task {name!r}: {path} defines no {attribute}")
    found = getattr(module, attribute)
    with _told_of(name, f"{path}'s {attribute}"):
        task = found() if callable(found) else found
    if not isinstance(task, Task):
        raise ValueError(f"task {name!r}: {attribute} gives a {type(task).__name__}, not a Task")
    return dataclasses.replace(task, name=name)
