"""The plants that `--plant` knows, by name."""

from collections.abc import Callable

from real_env.plant import Plant


def _brax_friction(seed: int) -> Plant:
    from real_env.plants.brax_friction import BraxFrictionPlant

    return BraxFrictionPlant(seed)


PLANTS: dict[str, Callable[[int], Plant]] = {"brax-friction": _brax_friction}


def make_plant(name: str, seed: int) -> Plant:
    """Build the plant called `name`.

    Raises:
        ValueError: naming the choices, if there is none of that name.
        ModuleNotFoundError: naming the extra to install, if the plant's own package is missing.
    """
    if name not in PLANTS:
        raise ValueError(f"unknown plant {name!r}; choose one of: {', '.join(PLANTS)}")
    try:
        return PLANTS[name](seed)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"plant {name!r} needs the package {error.name!r}; install the extra 'sim'"
        ) from error
