"""A log sampled anew at control steps.

Positions and velocities are estimated together: around each control step a cubic is fitted to the
positions that were logged nearby, its slope to the velocities, each weighed by its own noise. Velocities of
real rigs are noisy, being differences of an encoder: 0.1 rad/s of it are 0.05 rad half a second later. An
action is the mean over the control step of what was logged. Where time stands still for too long, a new
stretch begins; states of a log whose every interval is the control step already are taken as they are.

Notation
    t, q, v    logged times [N], positions [N] and velocities [N] of one joint
    g          time of a control step
    s          t - g of the rows near it
    c          coefficients of the cubic, q(g + s) = Σ c_k s^k
    σ_q, σ_v   noise of positions and velocities
"""

import itertools

import numpy as np

from trainer.dynamics.windows import Segment
from trainer.logs.csv_log import Log
from trainer.tasks.task import Task

LONGEST_GAP = 3.0
"""Control steps; also three times the median sampling interval, if that is longer."""
AROUND_S = 0.04
"""How far around a control step rows tell its state [s], at least as far as FEWEST rows reach."""
FEWEST = 5
ALIKE = 0.01
"""A log whose intervals differ from the control step by less than this share of it is taken as it is."""
DEGREE = 3
_POWERS = np.arange(DEGREE + 1)


def resample(log: Log, task: Task) -> list[Segment]:
    """Return the log as motions of the task's control steps, cut where it has gaps.

    Raises:
        ValueError: no stretch holds a control step.
    """
    dt, gaps = task.control_dt, np.diff(log.t)
    if np.all(np.abs(gaps - dt) < ALIKE * dt):
        u = log.u[:-1] if log.held else 0.5 * (log.u[:-1] + log.u[1:])
        return [Segment(log.x.astype(np.float32), u.astype(np.float32))]
    longest = max(LONGEST_GAP * dt, 3.0 * float(np.median(gaps)))
    edges = [0, *(np.flatnonzero(gaps > longest) + 1), len(log.t)]
    segments = []
    for first, last in itertools.pairwise(edges):
        t, x, u = log.t[first:last], log.x[first:last], log.u[first:last]
        steps = int((t[-1] - t[0]) / dt + 1e-6)
        if steps < 1:
            continue
        grid = t[0] + dt * np.arange(steps + 1)
        actions = _mean_actions(t, u, grid, log.held)
        segments.append(Segment(_states(t, x, grid, task).astype(np.float32), actions.astype(np.float32)))
    if not segments:
        raise ValueError(f"{log.path} has no stretch as long as a control step of {dt:g} s")
    return segments


def estimate(t: np.ndarray, q: np.ndarray, v: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return position and velocity of one joint at `grid` [G], as `[G, 2]`."""
    noise_q, noise_v = _noise(t, q, v, grid)
    return np.stack([_cubic(t, q, v, g, noise_q, noise_v)[:2] for g in grid])


def _states(t: np.ndarray, x: np.ndarray, grid: np.ndarray, task: Task) -> np.ndarray:
    """Return x[G, n]; where positions and velocities come in pairs they are estimated, else interpolated."""
    if task.positions != task.joints or len(t) <= FEWEST:
        return np.stack([np.interp(grid, t, column) for column in x.T], axis=1)
    d = task.joints
    pairs = np.stack([estimate(t, x[:, i], x[:, d + i], grid) for i in range(d)], axis=2)
    return pairs.reshape(len(grid), 2 * d)


def _near(t: np.ndarray, g: float) -> slice:
    """Return the rows around `g`, at least FEWEST."""
    first, last = np.searchsorted(t, (g - AROUND_S, g + AROUND_S))
    if last - first < FEWEST:
        middle = int(np.searchsorted(t, g))
        first = min(max(0, middle - FEWEST // 2 - (g < t[min(middle, len(t) - 1)])), len(t) - FEWEST)
        last = first + FEWEST
    return slice(int(first), int(last))


def _cubic(
    t: np.ndarray, q: np.ndarray, v: np.ndarray, g: float, noise_q: float, noise_v: float
) -> np.ndarray:
    """Return c[4], by weighted least squares; powers are scaled by the rows' reach for a sound condition."""
    rows = _near(t, g)
    s = t[rows] - g
    reach = float(np.max(np.abs(s)))
    z = (s / reach)[:, None]
    values = z**_POWERS
    slopes = _POWERS * z ** np.maximum(_POWERS - 1, 0) / reach
    A = np.concatenate([values / noise_q, slopes / noise_v])
    b = np.concatenate([q[rows] / noise_q, v[rows] / noise_v])
    return np.linalg.lstsq(A, b, rcond=None)[0] / reach**_POWERS


def _noise(t: np.ndarray, q: np.ndarray, v: np.ndarray, grid: np.ndarray) -> tuple[float, float]:
    """Return σ_q and σ_v, from how far rows are from cubics through positions and velocities weighed alike.

    Alike means that an error of the position counts as one of the velocity over the time that rows are near.
    """
    off_q, off_v = [], []
    for g in grid[:: max(1, len(grid) // 200)]:
        rows, c = _near(t, g), _cubic(t, q, v, g, AROUND_S, 1.0)
        s = (t[rows] - g)[:, None]
        off_q.append(q[rows] - (s**_POWERS) @ c)
        off_v.append(v[rows] - (_POWERS * s ** np.maximum(_POWERS - 1, 0)) @ c)
    spread = lambda parts: float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))  # noqa: E731
    return max(spread(off_q), 1e-6), max(spread(off_v), 1e-6)


def _mean_actions(t: np.ndarray, u: np.ndarray, grid: np.ndarray, held: bool) -> np.ndarray:
    """Return the mean action of each step [G - 1, m]; between rows it is held, or goes on a line."""
    between = u[:-1] if held else 0.5 * (u[:-1] + u[1:])
    impulse = np.concatenate([np.zeros((1, u.shape[1])), np.cumsum(between * np.diff(t)[:, None], axis=0)])
    reached = [_impulse_at(grid, t, u[:, j], impulse[:, j], held) for j in range(u.shape[1])]
    return np.diff(np.stack(reached, axis=1), axis=0) / np.diff(grid)[:, None]


def _impulse_at(
    grid: np.ndarray, t: np.ndarray, u: np.ndarray, impulse: np.ndarray, held: bool
) -> np.ndarray:
    row = np.clip(np.searchsorted(t, grid, side="right") - 1, 0, len(t) - 2)
    into = grid - t[row]
    slope = 0.0 if held else (u[row + 1] - u[row]) / (t[row + 1] - t[row])
    return impulse[row] + into * (u[row] + 0.5 * slope * into)
