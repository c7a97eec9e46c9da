"""The tasks that `--task` knows: one file each."""

import importlib

from trainer.tasks.task import Task

TASKS = ("cartpole_swingup",)


def load_task(name: str) -> Task:
    """Return the task called `name`.

    Raises:
        ValueError: naming the choices, if there is none of that name.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(TASKS)}")
    return importlib.import_module(f"trainer.tasks.{name}").TASK
