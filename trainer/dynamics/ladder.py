"""The rungs by name."""

from trainer.dynamics.friction_rung import FrictionRung
from trainer.dynamics.residual_rung import FrictionResidualRung
from trainer.dynamics.rung import Rung

LADDER: dict[str, Rung] = {rung.name: rung for rung in (FrictionRung(), FrictionResidualRung())}
DEFAULT_RUNG = "friction"


def rung(name: str) -> Rung:
    """Return the rung called `name`; empty means the default.

    Raises:
        ValueError: naming the choices, if there is none of that name.
    """
    if name and name not in LADDER:
        raise ValueError(f"unknown dynamics model {name!r}; choose one of: {', '.join(LADDER)}")
    return LADDER[name or DEFAULT_RUNG]
