"""Logs of a pendulum with friction, as a rig would write them: generated, closed form, in fine steps."""

from pathlib import Path

import numpy as np

GRAVITY, LENGTH, POINT, ROD = 9.81, 0.5, 0.546, 0.13
VISCOUS, DRY, GAIN, ROTOR = 0.03, 0.15, 0.85, 0.006
WIDTH = 0.02
"""Over which the sign of the velocity is smoothed [rad/s]."""


def swing(seed: int, seconds: float = 12.0, dt: float = 0.002) -> np.ndarray:
    """Return time [s], angle [rad, 0 = hanging], velocity [rad/s] and torque [N·m], one row each `dt`."""
    chance = np.random.default_rng(seed)
    inertia = (POINT + ROD / 3.0) * LENGTH**2 + ROTOR
    weight = (POINT + 0.5 * ROD) * GRAVITY * LENGTH
    rows, angle, velocity = [], chance.uniform(-1.5, 1.5), 0.0
    frequency, phase = chance.uniform(2.0, 5.0, 3), chance.uniform(0.0, 6.0, 3)
    for i in range(round(seconds / dt)):
        torque = 1.2 * np.mean(np.sin(frequency * i * dt + phase))
        rows.append((i * dt, angle, velocity, torque))
        for _ in range(4):
            friction = VISCOUS * velocity + DRY * np.tanh(velocity / WIDTH)
            velocity += dt / 4 * (GAIN * torque - friction - weight * np.sin(angle)) / inertia
            angle += dt / 4 * velocity
    return np.array(rows)


def noisy(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return rows as an encoder tells them: steps of 3 mrad, velocities off by 0.1 rad/s."""
    chance, seen = np.random.default_rng(seed), rows.copy()
    seen[:, 1] = np.round(seen[:, 1] / 0.003) * 0.003
    seen[:, 2] += chance.normal(0.0, 0.1, len(seen))
    return seen


def write(path: Path, rows: np.ndarray, header: str = "time,position,velocity,torque") -> Path:
    """Write a CSV file."""
    lines = [header, *(",".join(repr(float(value)) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
