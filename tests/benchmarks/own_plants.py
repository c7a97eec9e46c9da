"""Cart-poles of a rig owner's own, in numpy, for many episodes at once: none of them is the trainer's model.

Notation
    x   (cart [m], pole [rad, 0 = upright], their velocities)   [B, 4]
    u   action                                                  [B]
    F   friction of cart and hinge                              [B, 2]
"""

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CART, POLE, HALF, GRAVITY, PUSH = 10.47, 5.02, 0.3, 9.81, 100.0
DT, SUBSTEPS = 0.04, 40
START = np.array([0.0, np.pi, 0.0, 0.0])
START_SPREAD = np.array([0.5, 0.6, 0.5, 0.5])

Law = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""`(v[B, 2], z[B, 2], constants[3, 2]) -> (F, z)` over one substep."""


def stick_slip(v: np.ndarray, z: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Viscous, dry and break-away friction, the dry part smooth within 5 mm/s."""
    viscous, dry, break_away = c
    level = dry + (break_away - dry) * np.exp(-((v / 0.1) ** 2))
    return viscous * v + level * np.tanh(v / 0.005), z


def lugre(v: np.ndarray, z: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """LuGre friction: bristles that bend before they slip."""
    viscous, dry, break_away = c
    stiffness, step = np.array([2e4, 2e2]), DT / SUBSTEPS
    damping = 2.0 * np.sqrt(stiffness * np.array([1.0, 0.02]))
    rate = stiffness * np.abs(v) / (dry + (break_away - dry) * np.exp(-((v / 0.1) ** 2)))
    settled = np.where(rate > 1e-6, v / np.maximum(rate, 1e-6), z)
    ahead = np.where(rate > 1e-6, settled + (z - settled) * np.exp(-rate * step), z + v * step)
    return stiffness * ahead + damping * (ahead - z) / step + viscous * v, ahead


def root(v: np.ndarray, z: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Friction with the root of the velocity, as lubricated bearings have it."""
    return 1.3 * c[1] * np.sign(v) * np.sqrt(np.minimum(np.abs(v), 50.0)) * np.tanh(np.abs(v) / 0.01), z


def quadratic(v: np.ndarray, z: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Friction with the square of the velocity, as drag."""
    return 0.15 * c[1] * np.abs(v) * v, z


@dataclass(frozen=True)
class OwnPlant:
    """A cart-pole of one's own.

    Attributes:
        law: of its friction; `scale` multiplies the friction's constants, which each seed draws within 15 %.
        heavier: factor on the pole's mass.
        delay: how late actions act [control steps], in half steps.
        noise: standard deviation of positions and velocities as read.
        wiring: `(reading[B, 4]) -> reading`, what the sensors make of the state.
        motor: factor on the action.
    """

    name: str
    law: Law = stick_slip
    scale: float = 1.0
    heavier: float = 1.0
    delay: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)
    wiring: Callable[[np.ndarray], np.ndarray] = lambda x: x
    motor: float = 1.0

    def drive(
        self,
        policy: Callable[[np.ndarray], np.ndarray],
        excitation: np.ndarray,
        seed: int,
        remembers: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what was read, y[B, T + 1, 4], and applied, u[B, T, 1], under excitation[B, T]."""
        random, constants = np.random.default_rng([seed, 7]), self._constants(seed)
        batch, steps = excitation.shape
        x = START + random.uniform(-START_SPREAD, START_SPREAD, (batch, 4))
        z, halves = np.zeros((batch, 2)), deque([np.zeros(batch)] * round(2 * self.delay))
        last, y, u = np.zeros((batch, 1)), [self._read(x, random)], []
        for k in range(steps):
            seen = np.concatenate([y[-1], last], axis=1) if remembers else y[-1]
            last = np.clip(policy(seen) + excitation[:, k, None], -1.0, 1.0)
            halves.extend([last[:, 0]] * 2)
            for _ in range(2):
                x, z = self._advance(x, z, halves.popleft(), constants)
            y.append(self._read(x, random))
            u.append(last)
        return np.stack(y, axis=1).astype(np.float32), np.stack(u, axis=1).astype(np.float32)

    def true(self) -> "OwnPlant":
        """Return the same plant with sensors that read what is."""
        return dataclasses.replace(self, noise=(0.0, 0.0), wiring=lambda x: x)

    def _constants(self, seed: int) -> np.ndarray:
        usual = np.array([[10.0, 0.375], [19.0, 0.375], [31.0, 0.625]])
        return self.scale * usual * np.random.default_rng(seed).uniform(0.85, 1.15, (3, 2))

    def _read(self, x: np.ndarray, random: np.random.Generator) -> np.ndarray:
        spread = np.repeat(self.noise, 2)
        return self.wiring(x + spread * random.normal(size=x.shape))

    def _advance(
        self, x: np.ndarray, z: np.ndarray, u: np.ndarray, constants: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Advance by half a control step, semi-implicitly."""
        x, step, pole = x.copy(), DT / SUBSTEPS, POLE * self.heavier
        inertia, mass = pole * HALF**2 * 4.0 / 3.0, CART + pole
        for _ in range(SUBSTEPS // 2):
            v = x[:, 2:]
            friction, z = self.law(v, z, constants)
            coupling = pole * HALF * np.cos(x[:, 1])
            f = self.motor * PUSH * u - friction[:, 0] + pole * HALF * v[:, 1] ** 2 * np.sin(x[:, 1])
            t = pole * GRAVITY * HALF * np.sin(x[:, 1]) - friction[:, 1]
            determinant = mass * inertia - coupling**2
            x[:, 2] += step * (inertia * f - coupling * t) / determinant
            x[:, 3] += step * (mass * t - coupling * f) / determinant
            x[:, :2] += step * x[:, 2:]
        return x, z


SOUND = (
    OwnPlant("stick-slip"),
    OwnPlant("late and noisy", root, delay=1.5, noise=(0.002, 0.01)),
    OwnPlant("LuGre, heavier pole", lugre, heavier=1.15),
    OwnPlant("quadratic", quadratic),
    OwnPlant("light friction", scale=0.4, noise=(0.001, 0.005)),
)
"""Five kinds of plant."""
