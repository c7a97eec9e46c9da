"""Whether a reading may be used: checked before anything is computed from it."""

from typing import Any

import numpy as np

from protos.hds import v1
from real_env.plant import PlantSpec, Reading

LARGEST = 1e6
"""The largest size of any state [its unit], where the plant's spec names none."""


def checked(raw: Any, spec: PlantSpec, before: object = None) -> Reading | str:
    """Return `raw`, what a plant gave, as a reading of float32 numbers of its own; or why it is not usable.

    Args:
        raw: the reading, or whatever a plant returned in its place.
        spec: of the plant.
        before: the state's array of the reading before, as the plant gave it. A plant that gives its memory
            again tells nothing new, or changes what was recorded.
    """
    if not isinstance(raw, Reading):
        return f"the plant returned {_shown(raw)}, not a Reading"
    if _same_memory(raw.x, before):
        return "the plant returned the same array as before; each reading needs a new one"
    x = _numbers(raw.x)
    if isinstance(x, str):
        return f"the reading is {x}"
    if why := _beyond(x, spec) or _not_flags(raw):
        return why
    told = None if raw.u_applied is None else _numbers(raw.u_applied)
    applied = np.full(len(spec.action_names), np.nan, np.float32) if isinstance(told, str) else told
    return Reading(x.astype(np.float32), bool(raw.terminated), applied, bool(raw.ended), raw.cause)


def nothing(spec: PlantSpec) -> Reading:
    """Return what stands for a reading that is not usable: NaN for each state."""
    return Reading(np.full(len(spec.state_names), np.nan, np.float32), False)


def ended_by(reading: Reading) -> v1.EndCause:
    """Return why the plant ended the episode; unspecified if it did not."""
    if reading.cause != v1.END_CAUSE_UNSPECIFIED:
        return reading.cause
    if reading.terminated:
        return v1.END_CAUSE_SAFE_SET
    return v1.END_CAUSE_RECORDING if reading.ended else v1.END_CAUSE_UNSPECIFIED


def _same_memory(x: object, before: object) -> bool:
    if x is before:
        return x is not None
    return isinstance(x, np.ndarray) and isinstance(before, np.ndarray) and np.may_share_memory(x, before)


def _numbers(values: Any) -> np.ndarray | str:
    """Return a copy of `values` as real numbers, or in words what they are instead."""
    try:
        array = np.array(values)
    except Exception as error:  # whatever a user's object raises
        return f"no array ({type(error).__name__}: {error})"
    if array.dtype.kind not in "fiu":
        return f"of type {array.dtype}, not of numbers"
    return array


def _beyond(x: np.ndarray, spec: PlantSpec) -> str:
    """Return what is wrong with size or range of x; empty if nothing is."""
    names = spec.state_names
    if x.shape != (len(names),):
        return f"the reading has the shape {list(x.shape)}; needed is [{len(names)}]: {', '.join(names)}"
    most = spec.state_bounds or (LARGEST,) * len(names)
    for name, value, bound in zip(names, x.tolist(), most, strict=True):
        if not -bound <= value <= bound:  # a NaN is not either
            return f"{name} reads {value:g}; usable is ± {bound:g}"
    return ""


def _not_flags(raw: Reading) -> str:
    """Return what is wrong with what the reading says besides numbers; empty if nothing is."""
    flags = (raw.terminated, raw.ended)
    if not all(isinstance(flag, bool | np.bool_) for flag in flags):
        return f"terminated and ended must be true or false; got {_shown(flags)}"
    return "" if isinstance(raw.cause, int) else f"cause must be one of v1.EndCause; got {_shown(raw.cause)}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"
