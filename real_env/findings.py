"""What a check of a rig finds: seen, expected, verdict.

Notation
    x    readings, one at the end of each control step    [T, n]
    u    commands                                         [T, m]
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from protos import kinematics
from real_env.plant import PlantSpec

UNSEEN = 6.0
"""Motion shows if a state moves by so many times its noise at rest."""
LEAST_MOTION = 1e-3
"""Less than this is no motion [m, rad, or per second]: joints creep before they break away."""
UPRIGHT = 0.3
"""An angle that reads less at rest [rad] reads as upright."""
LATE_SHARE = 0.1
"""Readings may come this share of a control step late."""
RIGHT, LOOK, WRONG = "right", "look", "wrong"


class Finding(NamedTuple):
    """One line of a check; `verdict` is `right`, `wrong`, or `look` where a person must judge."""

    what: str
    seen: str
    expected: str
    verdict: str


@dataclass(frozen=True)
class Recording:
    """What was commanded and read: x[T, n], u[T, m], when readings came, and how many were not usable."""

    x: np.ndarray
    u: np.ndarray
    at_ns: np.ndarray
    start_ns: int
    bad: int

    def usable(self) -> np.ndarray:
        """Return the readings that are usable."""
        return self.x[np.all(np.isfinite(self.x), axis=1)]

    def moved_more_than(self, rest: "Recording") -> bool:
        """Return whether any state moved by more than it does at rest."""
        return bool(np.any(np.ptp(self.usable(), axis=0) > np.maximum(UNSEEN * _noise(rest), LEAST_MOTION)))


def passive(
    spec: PlantSpec, rest: Recording, moved: Recording | None, watchdog_s: float | None
) -> list[Finding]:
    """Return what readings at rest, and moved by hand, show."""
    findings = [_names(spec), _usable(rest if moved is None else moved, spec), *_timing(spec, rest)]
    if len(rest.usable()) < 4:
        return findings
    findings += _rest(spec, rest)
    findings.append(_watchdog(spec, watchdog_s))
    if moved is not None:
        findings += _by_hand(spec, rest, moved)
    return findings


def motor(spec: PlantSpec, rest: Recording, pushes: list[Recording]) -> list[Finding]:
    """Return the motor's sign, size and delay, of the last push."""
    last, noise = pushes[-1], _noise(rest)
    size = float(np.max(last.u))
    if not last.moved_more_than(rest):
        seen = f"nothing moved at {size:.0%} of the full action"
        return [Finding("motor", seen, "motion", LOOK)]
    d = len(spec.state_names) // 2
    on = int(np.sum(np.any(last.u != 0.0, axis=1)))
    velocity = spec.state_names[d]
    gained = last.x[on - 1, d] - last.x[0, d] if on > 1 else last.x[on, d]
    moving = np.abs(last.x[:, d] - rest.usable()[-1, d]) > UNSEEN * noise[d]
    delay = int(np.argmax(moving)) if moving.any() else on
    per_s = gained / (on * spec.control_dt) / size
    return [
        Finding(
            f"sign of {spec.action_names[0]}",
            f"+{size:.0%} changes {velocity} by {gained:+.3g}",
            "a positive action pushes towards positive values",
            RIGHT if gained > 0.0 else WRONG,
        ),
        Finding(
            f"size of {spec.action_names[0]}",
            f"{per_s:.3g} per second at the full action",
            "as the task's",
            LOOK,
        ),
        Finding(
            "delay of the motor",
            f"motion shows in the reading {delay + 1} control steps after the command",
            "1; the dynamics models allow for up to 1 more",
            RIGHT if delay <= 1 else LOOK,
        ),
    ]


def table(findings: Iterable[Finding]) -> str:
    """Return the findings as a table of text."""
    rows = [Finding("what", "seen", "expected", "verdict"), *findings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row.verdict])
        for row in rows
    )


def _names(spec: PlantSpec) -> Finding:
    states, actions = ", ".join(spec.state_names), ", ".join(spec.action_names)
    even = len(spec.state_names) % 2 == 0
    units = all("[" in name for name in spec.state_names)
    expected = "positions, then their velocities, each with its unit in [ ]"
    return Finding("names", f"{states}; {actions}", expected, RIGHT if even and units else LOOK)


def _usable(recording: Recording, spec: PlantSpec) -> Finding:
    seen = f"{recording.bad} of {len(recording.x)} not usable"
    return Finding(
        "readings", seen, f"{len(spec.state_names)} finite numbers each", WRONG if recording.bad else RIGHT
    )


def _timing(spec: PlantSpec, rest: Recording) -> list[Finding]:
    if not spec.real_time:
        return [Finding("control step", "simulated: it waits for each step", f"{spec.control_dt:g} s", RIGHT)]
    dt = spec.control_dt
    due_s = (np.arange(len(rest.at_ns)) + 1) * dt
    late_s = (rest.at_ns - rest.start_ns) * 1e-9 - due_s
    drift, jitter = (
        float(late_s[-1] - late_s[0]),
        float(np.percentile(np.abs(late_s - np.median(late_s)), 99)),
    )
    step = dt + drift / max(1, len(late_s) - 1)
    return [
        Finding(
            "control step", f"{step * 1e3:.3f} ms", f"{dt * 1e3:g} ms",
            RIGHT if abs(drift) < LATE_SHARE * dt + jitter else WRONG,
        ),
        Finding(
            "jitter of readings", f"p99 {jitter * 1e3:.2f} ms", f"below {LATE_SHARE * dt * 1e3:g} ms",
            RIGHT if jitter < LATE_SHARE * dt else LOOK,
        ),
    ]  # fmt: skip


def _rest(spec: PlantSpec, rest: Recording) -> list[Finding]:
    """Return what is read at rest: positions, velocities that should be zero, angles that should not."""
    found, x, noise, d = [], rest.usable(), _noise(rest), len(spec.state_names) // 2
    for i, name in enumerate(spec.state_names):
        seen = f"{np.mean(x[:, i]):.4g}, noise {noise[i]:.2g}"
        if i >= d:
            still = abs(float(np.mean(x[:, i]))) <= max(UNSEEN * noise[i], 1e-3)
            found.append(Finding(f"{name} at rest", seen, "0", RIGHT if still else WRONG))
        elif "[rad]" in name:
            upright = abs(float(np.mean(x[:, i]))) < UPRIGHT
            expected = "±3.14 if it hangs, 0 if it is held upright"
            found.append(Finding(f"zero of {name}", seen, expected, LOOK if upright else RIGHT))
        else:
            found.append(Finding(f"{name} at rest", seen, "where the rig is", LOOK))
    return found


def _watchdog(spec: PlantSpec, watchdog_s: float | None) -> Finding:
    expected = f"at least 2 control steps, {2e3 * spec.control_dt:g} ms"
    if watchdog_s is None:
        seen = "the plant says nothing of one" if spec.real_time else "simulated"
        return Finding("watchdog", seen, expected, LOOK if spec.real_time else RIGHT)
    enough = watchdog_s >= 2.0 * spec.control_dt
    return Finding("watchdog", f"{watchdog_s * 1e3:g} ms", expected, RIGHT if enough else WRONG)


def _by_hand(spec: PlantSpec, rest: Recording, moved: Recording) -> list[Finding]:
    """Return how each velocity agrees with its position while the rig is moved."""
    found, d = [], len(spec.state_names) // 2
    stretches = _stretches(moved.x)
    for i in range(d):
        position, velocity = spec.state_names[i], spec.state_names[d + i]
        parts = [(spec.control_dt * np.arange(len(x)), x[:, i], x[:, d + i]) for x in stretches]
        seen = kinematics.agreement(parts, position)
        what, expected = f"{velocity} against {position}", "its derivative"
        if seen.verdict == kinematics.STILL or np.ptp(moved.usable()[:, i]) <= UNSEEN * _noise(rest)[i]:
            found.append(Finding(what, f"{position} was not moved", "move it by hand", LOOK))
        else:
            agrees = seen.verdict == kinematics.AGREE
            shown = f"{seen.factor:.3g} times the derivative" if agrees else seen.words
            found.append(Finding(what, shown, expected, RIGHT if agrees else WRONG))
    return found


def _noise(rest: Recording) -> np.ndarray:
    """Return the noise at rest [n], at least what the last digit of a float32 is worth."""
    x = rest.usable()
    return np.maximum(
        np.std(x, axis=0), np.finfo(np.float32).eps * np.maximum(1.0, np.max(np.abs(x), axis=0))
    )


def _stretches(x: np.ndarray) -> list[np.ndarray]:
    """Return the stretches of x between readings that are not usable."""
    usable = np.all(np.isfinite(x), axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(int)))
    return [x[first:last] for first, last in edges.reshape(-1, 2)]
