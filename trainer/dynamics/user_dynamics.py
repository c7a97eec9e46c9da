"""Dynamics models from users' files, `FILE.py:NAME`."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax

from trainer.dynamics.dynamics_model import Delegating, DynamicsModel, Fit
from trainer.dynamics.windows import Segment
from trainer.tasks.task import Task
from trainer.user_file import explained, load_object, user_file

KIND = "dynamics model"
MEMBERS = ("action_history", "extrapolates", "model", "nominal_parameters", "fit")


@dataclass(frozen=True)
class UserDynamics(Delegating):
    """A dynamics model of a user's file. Its name is the one that loads it again."""

    name: str
    base: DynamicsModel

    def fit(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit the base.

        Raises:
            ValueError: naming the file, if its code raises.
        """
        with explained(KIND, self.name, "fit"):
            found = self.base.fit(task, segments, key, progress)
        if not isinstance(found, Fit):
            raise ValueError(f"{KIND} {self.name!r}: fit gives a {type(found).__name__}, not a Fit")
        return found


def user_dynamics(name: str) -> UserDynamics:
    """Return the dynamics model of `FILE.py:NAME`, an object or a class without arguments.

    Raises:
        ValueError: there is no such file or object, or it lacks members of `DynamicsModel`.
    """
    return _from_file(name, user_file(KIND, name).stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _from_file(name: str, changed_ns: int) -> UserDynamics:
    """Load the model of a file that was last changed at `changed_ns`."""
    del changed_ns
    found, attribute = load_object(KIND, name), name.rpartition(":")[2]
    if isinstance(found, type):
        with explained(KIND, name, attribute):
            found = found()
    if missing := [member for member in MEMBERS if not hasattr(found, member)]:
        raise ValueError(f"{KIND} {name!r}: {attribute} has no {', '.join(missing)}")
    try:
        hash(found)
    except TypeError as error:
        raise ValueError(
            f"{KIND} {name!r}: {attribute} must be hashable, for example a frozen dataclass: {error}"
        ) from error
    return UserDynamics(name, found)
