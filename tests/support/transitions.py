"""Transitions of the store, and a counter of reads."""

import numpy as np
import sqlalchemy as sa
from sqlalchemy.event import listen

from trainer.store.records import COLLECT, SessionInfo, Transition
from trainer.store.schema import TRANSITIONS

NAMES = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")


SESSION = SessionInfo("s1", "cartpole_swingup", "rig", NAMES, ("push [100 N]",), 0.04)


X, U = np.zeros(4, np.float32), np.zeros(1, np.float32)


def rows(first: int, count: int, length: int = 10, **values: object) -> list[Transition]:
    """Return transitions of episodes of that length."""
    plain = [
        Transition(k, k // length, COLLECT, X, U, U, X, k, False, k % length == length - 1, "abc", 1, "")
        for k in range(first, first + count)
    ]
    return [row._replace(**values) for row in plain]


class Reads:
    """Counts the queries that read transitions."""

    def __init__(self, engine: sa.Engine) -> None:
        self.count = 0
        listen(engine, "before_cursor_execute", self._see)

    def _see(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.count += TRANSITIONS.name in statement and not statement.startswith("INSERT")
