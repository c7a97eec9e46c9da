"""Noise model of prediction errors: sensor noise, also in the start state, and unmodelled forces.

Every state of a window is a measurement, the start state included. Model errors act as a random force on the
joints in each control step. Then, to first order, the errors of a window are

    e = J₀ ν₀ − ν + Σ Φ_s G_s w_s,   with covariance   C = J₀ S J₀ᵀ + S + Σ Φ_s G_s Q G_sᵀ Φ_sᵀ.

The variances on the diagonals of S and Q maximise the likelihood of the errors, by the multiplicative steps
of Zhou, Hu, Qiao and Lange (MM algorithms for variance components models, 2019).

Notation
    y, x   measured and predicted states of W windows               [W, L + 1, n]
    A, G   ∂x'/∂x, ∂x'/∂tau of each step of the prediction          [W, L, n, n], [W, L, n, d]
    J₀     sensitivity of the errors to the start state             [W, L n, n]
    v      variances: of the n sensors, then of the d forces        [n + d]
    C      covariance of a window's errors                          [W, L n, L n]
    R      whitening: R e has covariance 1                          [W, L n, L n]
"""

from typing import NamedTuple

import numpy as np

STEPS = 10
INTEGRATION = 3.0
"""Least standard deviation of a sensor, relative to the integration error."""
ROUNDING = 1e-6
"""Least standard deviation of a sensor, relative to the largest value: rounding of 32-bit numbers."""


class Sensitivity(NamedTuple):
    """Sensitivity of errors to the start state [W, L, n, n] and to the force in each step [W, L, n, L, d]."""

    start: np.ndarray
    force: np.ndarray


def sensitivity(A: np.ndarray, G: np.ndarray) -> Sensitivity:
    """Return the sensitivities along windows from those of each step."""
    windows, steps, n, d = G.shape
    start, force = np.zeros((windows, steps, n, n)), np.zeros((windows, steps, n, steps, d))
    now, pushed = np.broadcast_to(np.eye(n), (windows, n, n)), np.zeros((windows, n, steps, d))
    for t in range(steps):
        now = A[:, t] @ now
        pushed = np.einsum("wij,wjsd->wisd", A[:, t], pushed)
        pushed[:, :, t] = G[:, t]
        start[:, t], force[:, t] = now, pushed
    return Sensitivity(start, force)


def sources(found: Sensitivity) -> list[np.ndarray]:
    """Return the covariance of a window's errors [W, L n, L n] for each source, with variance 1."""
    windows, steps, n, _ = found.start.shape
    parts = []
    for i in range(n):
        sensor = np.zeros((steps, n, steps))
        sensor[np.arange(steps), i, np.arange(steps)] = 1.0
        sensor = np.broadcast_to(sensor.reshape(steps * n, steps), (windows, steps * n, steps))
        parts.append(np.concatenate([found.start[..., i].reshape(windows, -1, 1), sensor], axis=2))
    for j in range(found.force.shape[-1]):
        parts.append(found.force[..., j].reshape(windows, steps * n, steps))
    return [part @ np.swapaxes(part, 1, 2) for part in parts]


def variances(e: np.ndarray, parts: list[np.ndarray], v: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return the maximum-likelihood variances of errors e[W, L n], at least `least`, searched from `v`."""
    for _ in range(STEPS):
        inverse = np.linalg.inv(covariance(parts, v))
        white = np.einsum("wij,wj->wi", inverse, e)
        seen = np.array([np.einsum("wi,wij,wj->", white, part, white, optimize=True) for part in parts])
        expected = np.array([np.vdot(inverse, part) for part in parts])
        v = np.maximum(v * np.sqrt(seen / np.maximum(expected, 1e-30)), least)
    return v


def covariance(parts: list[np.ndarray], v: np.ndarray) -> np.ndarray:
    """Return C[W, L n, L n]."""
    return sum((size * part for size, part in zip(v, parts, strict=True)), np.zeros_like(parts[0]))


def whitening(C: np.ndarray) -> np.ndarray:
    """Return R for covariance C."""
    return np.linalg.inv(np.linalg.cholesky(C))


def start_error(e: np.ndarray, C: np.ndarray, found: Sensitivity, v: np.ndarray) -> np.ndarray:
    """Return the maximum-likelihood error ν₀[W, n] of the measured start states, given the whole window."""
    windows, _, n, _ = found.start.shape
    J = found.start.reshape(windows, -1, n)
    return v[:n] * np.einsum("wij,wi->wj", J, np.linalg.solve(C, e[..., None])[..., 0])
