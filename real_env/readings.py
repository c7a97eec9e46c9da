"""Checks of readings before they are used."""

from typing import Any

import numpy as np

from protos.hds import v1
from real_env.plant import PlantSpec, Reading

LARGEST = 1e6
"""Largest magnitude of a state [its unit], unless the plant's spec defines one."""


def checked(raw: Any, spec: PlantSpec, before: object = None) -> Reading | str:
    """Return a checked copy of `raw` with float32 states, or why it is invalid.

    Args:
        raw: what the plant returned.
        spec: the plant's spec.
        before: the state array of the previous reading, as the plant returned it. A plant that returns the
            same memory has no new reading, or changes a recorded one.
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
    applied_raw = None if raw.u_applied is None else _numbers(raw.u_applied)
    applied = (
        np.full(len(spec.action_names), np.nan, np.float32) if isinstance(applied_raw, str) else applied_raw
    )
    return Reading(x.astype(np.float32), bool(raw.terminated), applied, bool(raw.ended), raw.cause)


def nan_reading(spec: PlantSpec) -> Reading:
    """Return a reading of NaN, in place of an invalid one."""
    return Reading(np.full(len(spec.state_names), np.nan, np.float32), False)


def end_cause(reading: Reading) -> v1.EndCause:
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
    """Return a copy of `values` as real numbers, or what they are instead."""
    try:
        array = np.array(values)
    except Exception as error:  # any error of a user's object
        return f"no array ({type(error).__name__}: {error})"
    if array.dtype.kind not in "fiu":
        return f"of type {array.dtype}, not of numbers"
    return array


def _beyond(x: np.ndarray, spec: PlantSpec) -> str:
    """Return what is wrong with shape or range of x; empty if it is valid."""
    names = spec.state_names
    if x.shape != (len(names),):
        return f"the reading has the shape {list(x.shape)}; needed is [{len(names)}]: {', '.join(names)}"
    most = spec.state_bounds or (LARGEST,) * len(names)
    for name, value, bound in zip(names, x.tolist(), most, strict=True):
        if not -bound <= value <= bound:  # catches NaN as well
            return f"{name} reads {value:g}; usable is ± {bound:g}"
    return ""


def _not_flags(raw: Reading) -> str:
    """Return what is wrong with the flags of a reading; empty if they are valid."""
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
