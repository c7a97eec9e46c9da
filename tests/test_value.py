import jax
import jax.numpy as jnp
import numpy as np

from trainer.compilation import ONCE, compiled
from trainer.learning.trajectory import Objective, Trajectory, total_cost
from trainer.learning.value import ValueSpec, td_lambda
from trainer.policy.features import FeatureSpec

GAMMA, LAMBDA = 0.5, 0.25
TRAJECTORY = Trajectory(jnp.array([[1.0], [2.0], [3.0]]), jnp.zeros((2, 1)))


def objective(terminated_at: float) -> Objective:
    """Cost of a step: x²/2. Value: x²."""
    return Objective(lambda x, u: x, lambda x: jnp.sqrt(2.0) * x, lambda x: x[0] >= terminated_at, GAMMA)


def test_td_lambda_equals_the_hand_computed_targets() -> None:
    # V = 1, 4, 9; c = 0.5, 2. G1 = 2 + γ·9 = 6.5; G0 = 0.5 + γ(0.75·4 + 0.25·6.5) = 2.8125
    np.testing.assert_allclose(td_lambda(objective(99.0), TRAJECTORY, LAMBDA), [2.8125, 6.5])


def test_nothing_is_bootstrapped_from_a_terminated_state() -> None:
    # x2 = 3 has terminated: G1 = 2; G0 = 0.5 + γ(0.75·4 + 0.25·2) = 2.25
    np.testing.assert_allclose(td_lambda(objective(3.0), TRAJECTORY, LAMBDA), [2.25, 2.0])


def test_after_termination_nothing_costs() -> None:
    # x1 = 2 has terminated: G1 = 0 and G0 = 0.5
    np.testing.assert_allclose(td_lambda(objective(2.0), TRAJECTORY, LAMBDA), [0.5, 0.0])


def test_leaving_the_safe_set_costs_its_price_once() -> None:
    priced = objective(2.0)._replace(failure_cost=10.0)
    # x1 = 2 has terminated: G0 = 0.5 + γ·10 = 5.5, and so is the total: 0.5 + γ·10
    np.testing.assert_allclose(td_lambda(priced, TRAJECTORY, LAMBDA), [5.5, 0.0])
    np.testing.assert_allclose(total_cost(priced, TRAJECTORY), 5.5)
    # nothing terminates: 0.5 + γ·2 + γ²·9 = 3.75, whatever the price
    np.testing.assert_allclose(total_cost(objective(99.0)._replace(failure_cost=10.0), TRAJECTORY), 3.75)
    # it begins terminated: nothing costs any more
    np.testing.assert_allclose(total_cost(objective(1.0)._replace(failure_cost=10.0), TRAJECTORY), 0.0)


def test_the_value_is_never_negative_and_its_curvature_is_positive_semi_definite() -> None:
    spec = ValueSpec(FeatureSpec(3, (1,), (1.0, 1.0, 2.0)), (16,), 4)
    parameters = spec.init(jax.random.key(0), jnp.asarray(10.0))
    cost_to_go = compiled(lambda x: spec.cost_to_go(parameters, x), ONCE)
    jacobian = compiled(jax.jacfwd(lambda x: spec.residual(parameters, x)), ONCE)
    for x in jax.random.normal(jax.random.key(1), (20, 3)):
        assert float(cost_to_go(x)) >= 0.0
        J = jacobian(x)
        assert float(jnp.linalg.eigvalsh(J.T @ J).min()) >= -1e-4
