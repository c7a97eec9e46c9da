"""Directions and searches on a model whose optimum is known: a double integrator."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.compilation import ONCE, compiled
from trainer.learning.direction import Direction, FindDirection, gauss_newton, gradient, solve_positive
from trainer.learning.search import Search, annealing, line_search
from trainer.learning.trajectory import Objective, Trajectory, replay, rollout, total_cost
from trainer.models.model import Model

DT, STEPS = 0.1, 12
A = jnp.array([[1.0, DT], [0.0, 1.0]])
B = jnp.array([[0.5 * DT**2], [DT]])
START = jnp.array([0.2, -0.1])


def linear(theta: None, x: jax.Array, u: jax.Array) -> jax.Array:
    return A @ x + B @ u


def bent(theta: None, x: jax.Array, u: jax.Array) -> jax.Array:
    return A @ x + B @ u + 0.05 * jnp.stack([jnp.sin(3 * x[1]), x[0] * x[1]])


def never(x: jax.Array) -> jax.Array:
    return jnp.zeros((), bool)


OBJECTIVE = Objective(lambda x, u: jnp.concatenate([x, 0.3 * u]), lambda x: 3.0 * x, never, 0.97)
SILENT = jnp.zeros((STEPS, 1))


def driven(model: Model, law: Callable[[jax.Array], jax.Array], start: jax.Array = START) -> Trajectory:
    return compiled(lambda start: rollout(model, None, lambda t, x: law(t), start, STEPS), ONCE)(start)


NOMINAL, BENT_NOMINAL = (driven(model, lambda t: 0.3 * jnp.sin(t)[None]) for model in (linear, bent))


@functools.partial(jax.jit, static_argnames="model")
def cost_of(u: jax.Array, model: Model = linear) -> jax.Array:
    return total_cost(OBJECTIVE, rollout(model, None, lambda t, x: u[t], START, STEPS))


def direction_of(
    find: FindDirection, model: Model, nominal: Trajectory, objective: Objective = OBJECTIVE
) -> Direction:
    return compiled(lambda nominal: find(objective, model, None, nominal), ONCE)(nominal)


@functools.cache
def searched(search: Search, model: Model) -> Callable[..., Trajectory]:
    """Return `(nominal, direction, key, temperature) -> trajectory`."""
    return compiled(lambda *given: search(OBJECTIVE, model, None, *given), ONCE)


def test_first_order_direction_is_minus_the_gradient_of_the_total_cost() -> None:
    k = direction_of(gradient, bent, BENT_NOMINAL).k
    h = 1e-2
    for t in range(STEPS):
        up, down = (cost_of(BENT_NOMINAL.u.at[t, 0].add(s * h), bent) for s in (1, -1))
        np.testing.assert_allclose(-k[t, 0], (up - down) / (2 * h), atol=1e-4)


def test_gauss_newton_reports_the_same_slope_as_first_order() -> None:
    slopes = [direction_of(find, bent, BENT_NOMINAL).slope for find in (gradient, gauss_newton(0.1))]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-5)


def test_first_order_direction_counts_nothing_after_termination() -> None:
    objective = OBJECTIVE._replace(terminated=lambda x: x[0] < 0.17)
    trajectory = driven(bent, lambda t: jnp.array([-0.5]))
    ended = int(jnp.argmax(trajectory.x[:, 0] < 0.17))
    assert 0 < ended < STEPS
    k = direction_of(gradient, bent, trajectory, objective).k
    assert np.all(k[ended:] == 0.0)
    assert np.any(k[:ended] != 0.0)


def test_gauss_newton_reaches_the_optimum_of_a_linear_problem_in_one_step() -> None:
    direction = direction_of(gauss_newton(1e-9), linear, NOMINAL)
    search = searched(line_search((1.0,)), linear)
    better = search(NOMINAL, direction, jax.random.key(0), jnp.zeros(()))
    hessian = compiled(jax.hessian(lambda u: cost_of(u[:, None])), ONCE)(NOMINAL.u[:, 0])
    slope = compiled(jax.grad(lambda u: cost_of(u[:, None])), ONCE)(NOMINAL.u[:, 0])
    optimum = NOMINAL.u[:, 0] - jnp.linalg.solve(hessian, slope)
    assert float(jnp.max(jnp.abs(optimum))) < 1.0, "the optimum is inside the bounds"
    np.testing.assert_allclose(better.u[:, 0], optimum, atol=2e-4)


def test_feedback_gains_equal_the_riccati_solution() -> None:
    direction = direction_of(gauss_newton(1e-9), linear, NOMINAL)
    discount = OBJECTIVE.discount
    V = 9.0 * np.eye(2)
    for t in reversed(range(STEPS)):
        q_uu = 0.09 + discount * B.T @ V @ B
        K = -np.linalg.solve(q_uu, discount * B.T @ V @ A)
        np.testing.assert_allclose(direction.K[t], K, rtol=2e-3, atol=1e-4)
        V = np.eye(2) + discount * A.T @ V @ A + discount * A.T @ V @ B @ K


@pytest.mark.parametrize("m", [1, 3, 8])
def test_elimination_without_pivots_solves_positive_definite_systems(m: int) -> None:
    rng = np.random.default_rng(m)
    root, B = rng.normal(size=(m, m)), rng.normal(size=(m, 5))
    A = root @ np.diag(10.0 ** rng.uniform(-1.5, 1.5, m)) @ root.T + 0.1 * np.eye(m)
    X = np.asarray(solve_positive(jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32)))
    np.testing.assert_allclose(A @ X, B, atol=1e-4 * np.abs(A).max() * np.abs(X).max())


def test_an_action_at_its_bound_neither_moves_beyond_it_nor_feeds_back() -> None:
    far = jnp.array([30.0, 0.0])
    nominal = driven(linear, lambda t: -jnp.ones(1), far)
    direction = direction_of(gauss_newton(1e-6), linear, nominal)
    assert np.all(direction.k[:6] == 0.0)
    assert np.all(direction.K[:6] == 0.0)


LINE_SEARCH, ANNEALING = line_search((1.0, 0.3)), annealing((1.0, 0.3))


@pytest.mark.parametrize("seed", range(5))
def test_line_search_and_cold_annealing_never_make_a_trajectory_worse(seed: int) -> None:
    key = jax.random.key(seed)
    wild = Direction(5.0 * jax.random.normal(key, (STEPS, 1)), jnp.zeros((STEPS, 1, 2)), SILENT)
    before = float(total_cost(OBJECTIVE, BENT_NOMINAL))
    for search in (LINE_SEARCH, ANNEALING):
        after = searched(search, bent)(BENT_NOMINAL, wild, key, jnp.zeros(()))
        assert float(total_cost(OBJECTIVE, after)) <= before


def test_annealing_accepts_worse_steps_as_often_as_metropolis_says() -> None:
    bad = Direction(jnp.full((STEPS, 1), 0.4), jnp.zeros((STEPS, 1, 2)), SILENT)
    search = annealing((1.0,))
    before = total_cost(OBJECTIVE, BENT_NOMINAL)
    keys = jax.random.split(jax.random.key(1), 4000)
    rise = float(cost_of(jnp.clip(BENT_NOMINAL.u + 0.4, -1, 1), bent) - before)
    assert rise > 0
    temperature = jnp.asarray(2.0 * rise)
    cost = lambda key: total_cost(  # noqa: E731
        OBJECTIVE, search(OBJECTIVE, bent, None, BENT_NOMINAL, bad, key, temperature)
    )
    taken = compiled(jax.vmap(cost), ONCE)(keys)
    share = float(jnp.mean(taken > before + 0.5 * rise))
    assert share == pytest.approx(np.exp(-0.5), abs=0.03)


def test_a_trial_that_is_not_finite_is_never_taken() -> None:
    def explodes(theta: None, x: jax.Array, u: jax.Array) -> jax.Array:
        return jnp.where(u[0] > 0.9, jnp.nan, linear(theta, x, u))

    up = Direction(jnp.full((STEPS, 1), 5.0), jnp.zeros((STEPS, 1, 2)), SILENT)
    for search in (line_search((1.0,)), annealing((1.0,))):
        hot = jnp.asarray(1e3)
        after = searched(search, explodes)(NOMINAL, up, jax.random.key(0), hot)
        assert np.all(np.isfinite(after.x))


@pytest.mark.parametrize("find", [gradient, gauss_newton(0.1)], ids=["first order", "Gauss-Newton"])
def test_what_follows_termination_is_never_looked_at_even_where_it_is_not_finite(find: FindDirection) -> None:
    def breaks(theta: None, x: jax.Array, u: jax.Array) -> jax.Array:
        return jnp.where(x[0] < 0.17, jnp.nan, bent(theta, x, u))

    objective = OBJECTIVE._replace(terminated=lambda x: x[0] < 0.17)
    whole, broken = (driven(model, lambda t: jnp.array([-0.5])) for model in (bent, breaks))
    assert not np.all(np.isfinite(broken.x)), "it does break"
    np.testing.assert_allclose(total_cost(objective, broken), total_cost(objective, whole), rtol=1e-6)
    pairs = ((breaks, broken), (bent, whole))
    for one, other in zip(*(direction_of(find, *pair, objective) for pair in pairs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_recorded_actions_are_replayed_as_they_were_beyond_the_bounds_too() -> None:
    u = jnp.full((STEPS, 1), 1.5)
    x = START
    for t in range(STEPS):
        x = linear(None, x, u[t])
    np.testing.assert_allclose(replay(linear, None, START, u)[-1], x, rtol=1e-5)
    clipped = driven(linear, lambda t: u[t])
    np.testing.assert_array_equal(clipped.u, 1.0)
