"""The plants that `--plant` knows: by name, or a class of the user's own in a file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from real_env.plant import Plant


def _brax_friction(seed: int) -> Plant:
    from real_env.plants.brax_friction import BraxFrictionPlant

    return BraxFrictionPlant(seed)


PLANTS: dict[str, Callable[[int], Plant]] = {"brax-friction": _brax_friction}


def make_plant(name: str, seed: int) -> Plant:
    """Build the plant called `name`, or `path/to/file.py:Class`, which is called with the seed.

    Raises:
        ValueError: naming the choices, if there is none of that name.
        ModuleNotFoundError: naming the package, if the plant's own one is missing.
    """
    if ":" not in name and name not in PLANTS:
        choices = ", ".join(PLANTS)
        raise ValueError(f"unknown plant {name!r}; choose one of: {choices}, or give my_rig.py:MyRig")
    try:
        return (PLANTS[name] if name in PLANTS else _from_file(name))(seed)
    except ModuleNotFoundError as error:
        extra = "; install the extra 'sim'" if name in PLANTS else ""
        raise ModuleNotFoundError(f"plant {name!r} needs the package {error.name!r}{extra}") from error


def _from_file(name: str) -> Callable[[int], Plant]:
    path, _, attribute = name.rpartition(":")
    if not Path(path).is_file():
        raise ValueError(f"plant {name!r}: there is no file {path}; write my_rig.py:MyRig")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"plant {name!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise ValueError(f"plant {name!r}: {path} defines no {attribute}")
    return getattr(module, attribute)
