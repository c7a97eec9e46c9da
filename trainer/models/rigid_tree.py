"""Equations of motion of a Brax system of slide and hinge joints: `M(q) qdd + h(q, qd) = tau`.

Brax's `generalized` pipeline computes the same for any system, by scans over its links; for the few joints of
a rig that is some 600 operations per evaluation, and compiling it, and its Jacobians, takes far longer
than learning. Here the tree is walked while tracing, and known zeros are left out (`vectors`). Links with
several joints at an anchor off their origin are right, too, which in Brax 0.14.2 they are not.

The formulas are Newton's and Euler's, projected on the joints by the links' Jacobians (Featherstone, Rigid
Body Dynamics Algorithms, 2008, chapters 2 and 5); everything is in world coordinates.

Notation
    q, qd, qdd   joint positions, velocities, accelerations   [d]      m or rad, and per s, s²
    M, h         inertia matrix; Coriolis, gravity, springs and damping   [d, d], [d]
    R, p         a link's orientation and origin              [3, 3], [3]   -, m
    w, dw        its angular velocity, and angular acceleration while qdd = 0   [3]
    a            acceleration of a point, gravity taken off, while qdd = 0      [3]
    Jv, Jw       a joint's columns of the Jacobians of a link's centre          [3], [3]
"""

from typing import NamedTuple

import jax

from trainer.models.quiet_import import without_warp_notice
from trainer.models.vectors import (
    IDENTITY,
    ZERO,
    Matrix,
    Scalar,
    Vector,
    add,
    apply,
    cross,
    dot,
    from_quaternion,
    in_frame,
    multiply,
    rotation,
    scalars,
    scale,
    solve_positive,
)

with without_warp_notice():
    from brax.base import System


class _Joint(NamedTuple):
    """One degree of freedom: its axes of rotation and translation, and the point it turns about."""

    number: int
    turn: Vector
    slide: Vector
    anchor: Vector


class _Frame(NamedTuple):
    """Motion of a point p of a body, and the joints that it hangs on."""

    R: Matrix
    p: Vector
    w: Vector
    dw: Vector
    a: Vector
    joints: tuple[_Joint, ...]

    def moved(self, r: Vector) -> "_Frame":
        """Return the same body's motion at the point `p + r`, r in world coordinates."""
        a = add(self.a, cross(self.dw, r), cross(self.w, cross(self.w, r)))
        return self._replace(p=add(self.p, r), a=a)


class _Body(NamedTuple):
    """A link's mass, its inertia about its centre in world coordinates, and the centre's motion."""

    mass: Scalar
    inertia: Matrix
    centre: _Frame


def check(system: System) -> None:
    """Check that the equations below are those of `system`.

    Raises:
        ValueError: for joints other than slides and hinges, and for fluid forces.
    """
    if not set(system.link_types) <= {"1", "2", "3"}:
        raise ValueError(f"slide and hinge joints only; link types are {sorted(set(system.link_types))}")
    if system.enable_fluid:
        raise ValueError("no fluid forces here; unset density and viscosity, or use the environment's step")


class RigidTree:
    """The system's mechanism in one pose; `q` and `qd` are arrays of shape [d].

    Raises:
        ValueError: for joints other than slides and hinges, and for fluid forces.
    """

    def __init__(self, system: System, q: jax.Array, qd: jax.Array) -> None:
        check(system)
        self._system = system
        self._q, self._qd = (tuple(part[i] for i in range(system.qd_size())) for part in (q, qd))
        self._bodies = self._walk()

    def acceleration(self, tau: jax.Array) -> Vector:
        """Return qdd[d] under the joint forces tau[d]."""
        rest = tuple(tau[i] - force for i, force in enumerate(self.bias()))
        return solve_positive(self.inertia(), rest)

    def mobility(self) -> Matrix:
        """Return M⁻¹[d, d]."""
        M, size = self.inertia(), len(self._q)
        return tuple(
            solve_positive(M, tuple(1.0 if i == j else 0.0 for j in range(size))) for i in range(size)
        )

    def inertia(self) -> Matrix:
        """Return M[d, d], with the rotors' inertia."""
        size = len(self._q)
        M = [
            [0.0 if i != j else part for j in range(size)]
            for i, part in enumerate(scalars(self._system.dof.armature))
        ]
        for body in self._bodies:
            for i, Jv, Jw in _jacobians(body):
                force, torque = scale(body.mass, Jv), apply(body.inertia, Jw)
                for j, other_v, other_w in _jacobians(body):
                    if j <= i:
                        M[i][j] = dot((M[i][j], 1.0), (1.0, dot((*force, *torque), (*other_v, *other_w))))
                        M[j][i] = M[i][j]
        return tuple(tuple(row) for row in M)

    def bias(self) -> Vector:
        """Return h[d]."""
        dof = self._system.dof
        h = [
            dot((damping, stiffness), (qd, q))
            for damping, stiffness, q, qd in zip(
                scalars(dof.damping), scalars(dof.stiffness), self._q, self._qd, strict=True
            )
        ]
        for body in self._bodies:
            at = body.centre
            force = scale(body.mass, at.a)
            torque = add(apply(body.inertia, at.dw), cross(at.w, apply(body.inertia, at.w)))
            for i, Jv, Jw in _jacobians(body):
                h[i] = dot((h[i], 1.0), (1.0, dot((*Jv, *Jw), (*force, *torque))))
        return tuple(h)

    def energy(self) -> Scalar:
        """Return kinetic energy plus that of gravity (zero at the world's origin) and springs [J]."""
        kinetic = dot(self._qd, apply(self.inertia(), self._qd))
        springs = dot(scalars(self._system.dof.stiffness), [q * q for q in self._q])
        gravity = scalars(self._system.gravity)
        potential = [dot((body.mass,), (dot(gravity, body.centre.p),)) for body in self._bodies]
        return 0.5 * kinetic + 0.5 * springs - dot(potential, (1.0,) * len(potential))

    def _walk(self) -> tuple[_Body, ...]:
        system = self._system
        link, motion, first = system.link, system.dof.motion, 0
        offsets, turns, anchors = (
            scalars(part) for part in (link.transform.pos, link.transform.rot, link.joint.pos)
        )
        axes, slides = scalars(motion.ang), scalars(motion.vel)
        centres, frames = scalars(link.inertia.transform.pos), scalars(link.inertia.transform.rot)
        masses, inertias = scalars(link.inertia.mass), scalars(link.inertia.i)
        world = _Frame(IDENTITY, ZERO, ZERO, ZERO, scale(-1.0, scalars(system.gravity)), ())
        links: list[_Frame] = []
        bodies: list[_Body] = []
        for i, count in enumerate(int(kind) for kind in system.link_types):
            parent = links[system.link_parents[i]] if system.link_parents[i] >= 0 else world
            frame = parent.moved(apply(parent.R, offsets[i]))
            frame = frame._replace(R=multiply(frame.R, from_quaternion(turns[i])))
            frame = frame.moved(apply(frame.R, anchors[i]))
            for k in range(first, first + count):
                frame = self._through(frame, k, axes[k], slides[k])
            first += count
            frame = frame.moved(scale(-1.0, apply(frame.R, anchors[i])))
            links.append(frame)
            inertia = in_frame(multiply(frame.R, from_quaternion(frames[i])), inertias[i])
            bodies.append(_Body(masses[i], inertia, frame.moved(apply(frame.R, centres[i]))))
        return tuple(bodies)

    def _through(self, frame: _Frame, k: int, axis: Vector, direction: Vector) -> _Frame:
        """Return the frame behind joint k, which turns about `axis` or slides along `direction`."""
        q, qd = self._q[k], self._qd[k]
        turn, slide = apply(frame.R, axis), apply(frame.R, direction)
        moved = frame.moved(scale(q, slide))
        spin = scale(qd, turn)
        return _Frame(
            R=multiply(frame.R, rotation(axis, q)),
            p=moved.p,
            w=add(frame.w, spin),
            dw=add(frame.dw, cross(frame.w, spin)),
            a=add(moved.a, scale(2.0, cross(frame.w, scale(qd, slide)))),
            joints=(*frame.joints, _Joint(k, turn, slide, moved.p)),
        )


def _jacobians(body: _Body) -> list[tuple[int, Vector, Vector]]:
    """Return (i, Jv, Jw) of the joints between the world and the body."""
    found = []
    for joint in body.centre.joints:
        arm = add(body.centre.p, scale(-1.0, joint.anchor))
        found.append((joint.number, add(joint.slide, cross(joint.turn, arm)), joint.turn))
    return found
