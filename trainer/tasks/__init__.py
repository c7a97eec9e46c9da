"""The tasks that `--task` knows: one file each, or a file of the user's own."""

import dataclasses
import functools
import importlib
from typing import TYPE_CHECKING

from trainer.user_file import explained, is_file, load_object, user_file

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
        return _from_file(name, user_file("task", name).stat().st_mtime_ns)
    if name not in TASKS:
        raise ValueError(
            f"unknown task {name!r}; choose one of: {', '.join(TASKS)}, or give my_task.py:MyTask"
        )
    return importlib.import_module(f"trainer.tasks.{name}").TASK


@functools.lru_cache(maxsize=256)
def _from_file(name: str, changed_ns: int) -> "Task":
    """Load the task of a file that was last changed at `changed_ns`; the same file gives the same task."""
    from trainer.tasks.task import Task

    del changed_ns
    found, attribute = load_object("task", name), name.rpartition(":")[2]
    with explained("task", name, f"{user_file('task', name)}'s {attribute}"):
        task = found() if callable(found) else found
    if not isinstance(task, Task):
        raise ValueError(f"task {name!r}: {attribute} gives a {type(task).__name__}, not a Task")
    return dataclasses.replace(task, name=name)
