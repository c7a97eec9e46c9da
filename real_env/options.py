"""The options of `hds-real-env run`."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env import phases
from real_env.fault_injection import Faults
from real_env.limits import Limits
from real_env.plant import PlantSpec
from real_env.plants import DESCRIPTIONS
from real_env.spool import MOST, default_spool

LONGEST_EPISODE_S = 86_400.0


@dataclass(frozen=True)
class Run:
    """Drive the plant and stream every transition to the trainer.

    Example: hds-real-env run --plant brax-friction --collect 5 --real-time
    """

    plant: Annotated[str, tyro.conf.arg(help=f"One of: {', '.join(DESCRIPTIONS)}.")] = "brax-friction"
    state_names: tuple[str, ...] = ()
    """Call the plant's states so, in their order, as the policy's task does."""
    action_names: tuple[str, ...] = ()
    """Call the plant's actions so."""
    task: str = "cartpole_swingup"
    """The task that the plant is driven for; a policy of another task is refused."""
    seed: int = 0
    """Draws the plant's constants and start states, where it is a simulated one."""
    controller: str = "127.0.0.1:50052"
    """host:port of hds-controller."""
    trainer: str = "127.0.0.1:50051"
    """host:port of hds-trainer."""
    policy_version: str = ""
    """Be served by this policy only: a version, its first digits, or a label at the trainer, as it points
    when the run begins; empty follows the controller's label."""
    collect: float | None = None
    """Record this many seconds [s] of data to learn from."""
    evaluate: int | None = None
    """Then drive this many episodes whose data is never learned from."""
    phases: Path | None = None
    """Read phases from this file instead, a line each ('collect 5 seconds', 'evaluate 32 episodes'); - is
    standard input, read as it comes."""
    excitation: float = 0.3
    """While collecting, add random steps of up to this share of the full action, in [0, 1]; 0 adds none."""
    episode_seconds: float | None = None
    """The clock ends an episode after this long [s]; the default is the task's length. A shorter episode is
    not judged."""
    real_time: bool = False
    """Drive a simulated plant at the pace of the wall clock too; a plant that moves by itself always is."""
    stepped: bool = False
    """The plant stands still between two calls, so that it is driven as fast as it answers: for a simulation
    of your own whose spec does not say so. Never for a machine."""
    deadline: float = 0.8
    """An answer later than this share of the control step is dropped, in (0, 1]."""
    fallback: Literal["zero", "damping", "hold"] = "damping"
    """What acts when no usable answer came."""
    max_misses: int = 25
    """Consecutive misses [control steps] that latch the emergency stop; it lasts until it is reset."""
    max_bad_readings: int = 2
    """Consecutive readings that are not usable, at least 1, which latch the emergency stop."""
    limits: Limits = field(default_factory=Limits)
    """What neither action nor plant may exceed."""
    rig: str = ""
    """The rig's name: emergency stop and lock belong to it. The default is the serial port, or the plant's
    name."""
    reset_stop: bool = False
    """Reset the rig's emergency stop first."""
    access: ClientSecurity = field(default_factory=ClientSecurity)
    """How to get in at controller and trainer."""
    faults: Faults = field(default_factory=Faults)
    """Let the plant go wrong on purpose, to see what policy and loop make of it."""
    spool: Path = field(default_factory=default_spool)
    """Where transitions wait until the trainer has stored them."""
    spool_limit: int = MOST
    """Transitions that may wait for the trainer; beyond it the run ends, rather than lose any."""
    events: bool = False
    """Write one JSON object per event to standard output, for programs."""
    traceback: bool = False
    """Where the plant's code fails, show the whole traceback."""


def wanted_phases(command: Run) -> list[phases.Phase]:
    """Return the phases given as options or in a file.

    Raises:
        ValueError: naming what is out of bounds.
    """
    _check_bounds(command)
    command.faults.check()
    command.access.check()
    wanted = []
    if command.collect is not None:
        wanted.append(phases.Phase(v1.PURPOSE_COLLECT, seconds=command.collect))
    if command.evaluate is not None:
        wanted.append(phases.Phase(v1.PURPOSE_EVALUATE, episodes=command.evaluate))
    if bool(wanted) == (command.phases is not None):
        raise ValueError("say what to do: --collect SECONDS and/or --evaluate EPISODES, or --phases FILE")
    if command.phases is not None and str(command.phases) != "-":
        wanted = [phases.parse(line) for line in command.phases.read_text().splitlines() if line.strip()]
    return wanted


def _check_bounds(command: Run) -> None:
    bounds = {
        "--collect [s]": (command.collect, 0.0, float("inf")),
        "--evaluate [episodes]": (command.evaluate, 0, float("inf")),
        "--episode-seconds [s]": (command.episode_seconds, 0.0, LONGEST_EPISODE_S),
        "--deadline [share of the control step]": (command.deadline, 0.0, 1.0),
        "--max-misses [control steps]": (command.max_misses, 0, float("inf")),
        "--max-bad-readings": (command.max_bad_readings, 0, float("inf")),
    }
    for name, (value, low, high) in bounds.items():
        if value is not None and not low < value <= high:
            most = f" and at most {high:g}" if math.isfinite(high) else ""
            raise ValueError(f"{name} must be above {low:g}{most}; got {value:g}")
    if command.seed < 0:
        raise ValueError(f"--seed must be at least 0; got {command.seed}")
    if not 0.0 <= command.excitation <= 1.0:
        raise ValueError(f"--excitation must be in [0, 1]; got {command.excitation:g}")
    if command.real_time and command.stepped:
        raise ValueError(
            "--stepped says that nothing moves by itself, --real-time that the clock counts: not both"
        )


def as_asked(spec: PlantSpec, command: Run) -> PlantSpec:
    """Return the plant's spec with the names and the pace that the options give it.

    Raises:
        ValueError: a name is missing, or there is one too many.
    """
    names = {"state_names": command.state_names, "action_names": command.action_names}
    for field_name, given in names.items():
        known = getattr(spec, field_name)
        if given and len(given) != len(known):
            option = "--" + field_name.replace("_", "-")
            raise ValueError(f"{option} needs a name for each of: {', '.join(known)}; got {len(given)}")
    given_names = {field_name: given for field_name, given in names.items() if given}
    return replace(spec, **given_names, real_time=spec.real_time and not command.stepped)
