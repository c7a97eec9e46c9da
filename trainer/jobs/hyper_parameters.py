"""The configuration of a job: its task's, then that of `--config`, then options."""

import tomllib
from collections.abc import Mapping
from typing import Any

from trainer.learning.configuration import Configuration, configuration, merged
from trainer.tasks.task import Task

SIMULATION_EPOCHS, REFIT_EPOCHS = 100, 250
"""Default epochs. In the simulator alone success is reached after about 25."""
ROUNDS = 3


def configuration_of(task: Task, config: str, epochs: int, refit: bool) -> Configuration:
    """Return the configuration; `config` is the text of a TOML file, and 0 `epochs` are not set.

    Raises:
        ValueError: naming the entry or the line that is wrong.
    """
    options: dict[str, dict[str, Any]] = {"training": {"epochs": epochs}} if epochs else {}
    given = merged(task.learning, _read(config), options)
    training = given.setdefault("training", {})
    training.setdefault("rounds", 1 if "epochs" in training else ROUNDS)
    training.setdefault("epochs", REFIT_EPOCHS if refit else SIMULATION_EPOCHS)
    return configuration(given)


def _read(config: str) -> Mapping[str, Any]:
    try:
        tables = tomllib.loads(config)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the configuration is no TOML: {error}") from error
    for name, entries in tables.items():
        if not isinstance(entries, dict):
            raise ValueError(
                f"the configuration has {name} = {entries!r} outside of a table, such as [training]"
            )
    return tables
