"""Vectors and matrices of scalars, some of them numbers known while tracing.

The axes, offsets and frames of a mechanism are mostly zeros and ones. What is multiplied by a known 0 is left
out, what is multiplied by a known 1 is taken as it is; that leaves of general rigid-body formulas about
what one would derive by hand, and it compiles and runs accordingly.

Notation
    s        number or array of shape []
    v, a, b  vector, a tuple of scalars                  [3] unless said otherwise
    A, R     matrix, a tuple of rows                     [3, 3]
"""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

Scalar = float | jax.Array
Vector = tuple[Scalar, ...]
Matrix = tuple[Vector, ...]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
ZERO: Vector = (0.0, 0.0, 0.0)
NEGLIGIBLE = 1e-7
"""A known number closer than this to 0, 1 or −1 is meant to be that: quaternions are rounded."""


def known_zero(s: Scalar) -> bool:
    """Tell whether `s` is a number, and 0."""
    return isinstance(s, float) and s == 0.0


def scalars(array: Any) -> Any:
    """Return the components of an array as nested tuples: numbers, or tracers where it is traced."""
    if isinstance(array, Tracer):
        return tuple(scalars(part) for part in array) if array.ndim else array
    return _nested(array.tolist())


def _nested(values: Any) -> Any:
    if isinstance(values, list):
        return tuple(_nested(value) for value in values)
    exact = float(round(values))
    return exact if abs(values - exact) < NEGLIGIBLE and abs(exact) <= 1.0 else float(values)


def dot(a: Iterable[Scalar], b: Iterable[Scalar]) -> Scalar:
    """Return Σ aᵢ bᵢ; of any length."""
    total: Scalar = 0.0
    for x, y in zip(a, b, strict=True):
        if known_zero(x) or known_zero(y):
            continue
        product = (
            y if isinstance(x, float) and x == 1.0 else x if isinstance(y, float) and y == 1.0 else x * y
        )
        total = product if known_zero(total) else total + product
    return total


def add(*vectors: Vector) -> Vector:
    """Return the sum of vectors of one length."""
    return tuple(dot(parts, (1.0,) * len(parts)) for parts in zip(*vectors, strict=True))


def scale(s: Scalar, v: Vector) -> Vector:
    """Return `s v`."""
    return tuple(dot((s,), (part,)) for part in v)


def cross(a: Vector, b: Vector) -> Vector:
    """Return `a × b`."""
    return tuple(dot((a[i], -a[j]), (b[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1)))


def apply(A: Matrix, v: Vector) -> Vector:
    """Return `A v`."""
    return tuple(dot(row, v) for row in A)


def multiply(A: Matrix, B: Matrix) -> Matrix:
    """Return `A B`."""
    columns = tuple(zip(*B, strict=True))
    return tuple(tuple(dot(row, column) for column in columns) for row in A)


def in_frame(R: Matrix, A: Matrix) -> Matrix:
    """Return `R A Rᵀ`."""
    return multiply(multiply(R, A), tuple(zip(*R, strict=True)))


def rotation(axis: Vector, angle: Scalar) -> Matrix:
    """Return the rotation about a unit axis by Rodrigues' formula `1 + sin a [axis]× + (1 − cos a) [axis]×²`.

    The zero axis rotates nothing.
    """
    if all(known_zero(part) for part in axis):
        return IDENTITY
    x, y, z = axis
    K = ((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0))
    parts = (IDENTITY, K, multiply(K, K))
    weights = (1.0, jnp.sin(angle), 1.0 - jnp.cos(angle))
    return tuple(tuple(dot(weights, [A[i][j] for A in parts]) for j in range(3)) for i in range(3))


def from_quaternion(q: Vector) -> Matrix:
    """Return the rotation of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q
    K = ((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0))
    parts, weights = (IDENTITY, K, multiply(K, K)), (1.0, 2.0 * w, 2.0)
    return tuple(tuple(dot(weights, [A[i][j] for A in parts]) for j in range(3)) for i in range(3))


def solve_positive(A: Matrix, b: Vector) -> Vector:
    """Solve `A x = b` for a symmetric positive definite A[n, n] by its LDLᵀ factors."""
    n = len(b)
    L: list[list[Scalar]] = [[0.0] * n for _ in range(n)]
    D: list[Scalar] = []
    for j in range(n):
        D.append(dot((A[j][j], *(-L[j][k] for k in range(j))), (1.0, *(L[j][k] * D[k] for k in range(j)))))
        for i in range(j + 1, n):
            rest = dot((A[i][j], *(-L[i][k] for k in range(j))), (1.0, *(L[j][k] * D[k] for k in range(j))))
            L[i][j] = 0.0 if known_zero(rest) else rest / D[j]
    y: list[Scalar] = []
    for i in range(n):
        y.append(dot((b[i], *(-L[i][k] for k in range(i))), (1.0, *y)))
    x: list[Scalar] = []
    for i in reversed(range(n)):
        x.insert(0, dot((y[i] / D[i], *(-L[k][i] for k in range(i + 1, n))), (1.0, *x)))
    return tuple(x)
