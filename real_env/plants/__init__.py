"""The plants that `--plant` knows: by name, by kind and place, or a class of the user's own in a file."""

import contextlib
import importlib.util
import os
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from protos.security.client_security import ClientSecurity
from real_env.plant import Plant


def _brax_friction(seed: int) -> Plant:
    from real_env.plants.brax_friction import BraxFrictionPlant

    return BraxFrictionPlant(seed)


def _mujoco_cart_pole(seed: int) -> Plant:
    from real_env.plants.mujoco_model import cart_pole

    return cart_pole(seed)


def _mujoco(place: str, seed: int, access: ClientSecurity) -> Plant:
    del access
    from real_env.plants.mujoco_model import from_file

    return from_file(Path(place), seed)


def _gymnasium(place: str, seed: int, access: ClientSecurity) -> Plant:
    del access
    from real_env.plants.gymnasium_env import GymnasiumPlant

    return GymnasiumPlant(place, seed)


def _serial(place: str, seed: int, access: ClientSecurity) -> Plant:
    del seed, access
    from real_env.plants.serial_line import from_file

    return from_file(Path(place))


def _replay(place: str, seed: int, access: ClientSecurity) -> Plant:
    del seed
    from real_env.plants.replay import from_trainer

    return from_trainer(place, access)


class PlantBroken(RuntimeError):
    """A user's own plant raised while it was made; `__cause__` is what."""


PLANTS: dict[str, Callable[[int], Plant]] = {
    "brax-friction": _brax_friction,
    "mujoco-cart-pole": _mujoco_cart_pole,
}
KINDS: dict[str, Callable[[str, int, ClientSecurity], Plant]] = {
    "mujoco": _mujoco,
    "gymnasium": _gymnasium,
    "serial": _serial,
    "replay": _replay,
}
DESCRIPTIONS = {
    "brax-friction": "cart-pole with stick-slip friction, in Brax (extra 'sim')",
    "mujoco-cart-pole": "the same with damping and dry friction, in MuJoCo's C engine (extra 'plants')",
    "mujoco:MODEL.xml": "a MuJoCo model of hinges and slides (extra 'plants')",
    "gymnasium:ID": "a Gymnasium environment with box spaces (extra 'plants')",
    "serial:RIG.toml": "a micro-controller on a serial line (extra 'plants')",
    "replay:HOST:PORT/SESSION": "a session recorded at a trainer, to evaluate only",
    "FILE.py:CLASS": "a class of your own, called with the seed",
}
_EXTRAS = {"brax-friction": "sim"}


def make_plant(name: str, seed: int, access: ClientSecurity | None = None) -> Plant:
    """Build the plant called `name`; see `DESCRIPTIONS` for what there is.

    Raises:
        ValueError: naming the choices, if there is none of that name, or what is wrong with its place.
        OSError: a device or file cannot be opened.
        ModuleNotFoundError: naming the package, if the plant's own one is missing.
        PlantBroken: a user's own file or class raised.
    """
    kind, _, place = name.partition(":")
    try:
        if name in PLANTS:
            return PLANTS[name](seed)
        if place and kind in KINDS:
            return KINDS[kind](place, seed, access or ClientSecurity())
        if place:
            return _from_file(name, seed)
    except ModuleNotFoundError as error:
        ours = name in PLANTS or kind in KINDS
        extra = f"; install the extra '{_EXTRAS.get(name, 'plants')}'" if ours else ""
        raise ModuleNotFoundError(f"plant {name!r} needs the package {error.name!r}{extra}") from error
    raise ValueError(f"unknown plant {name!r}; choose one of: {', '.join(DESCRIPTIONS)}")


def device_of(name: str) -> str:
    """Return what `--plant` names as a device: two runs of one device drive one rig.

    That is the serial port, or the class of a user's own file.
    """
    kind, _, place = name.partition(":")
    if kind == "serial":
        return _rig_port(place)
    return name if name in PLANTS or kind in KINDS else name.rpartition(":")[2]


def port_of(name: str) -> str:
    """Return the serial port of a plant, which one run at a time has, whatever its --rig; empty if none."""
    kind, _, place = name.partition(":")
    return _rig_port(place) if kind == "serial" else ""


def _rig_port(place: str) -> str:
    """Return the port that a rig's file names; a file that is wrong is told of when the plant is made."""
    try:
        port = tomllib.loads(Path(place).read_text()).get("port")
    except (OSError, ValueError):
        return place
    return os.path.realpath(port) if isinstance(port, str) else place


def _from_file(name: str, seed: int) -> Plant:
    path, _, attribute = name.rpartition(":")
    if not Path(path).is_file():
        raise ValueError(f"plant {name!r}: there is no file {path}; write my_rig.py:MyRig")
    spec = importlib.util.spec_from_file_location(f"hds_plant_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"plant {name!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there for their types
    sys.path.insert(0, str(Path(path).resolve().parent))  # the files beside it are what it may import
    with _blaming(f"plant {name!r}: {path}"):
        spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise ValueError(f"plant {name!r}: {path} defines no {attribute}")
    with _blaming(f"plant {name!r}: {attribute}({seed})"):
        return getattr(module, attribute)(seed)


@contextlib.contextmanager
def _blaming(what: str) -> Iterator[None]:
    """Turn what a user's code raises into a `PlantBroken`; a missing package says enough itself."""
    try:
        yield
    except ModuleNotFoundError:
        raise
    except (Exception, SystemExit) as error:
        raise PlantBroken(f"{what} fails with {type(error).__name__}: {error}") from error
