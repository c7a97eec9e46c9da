import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.parking import CONFIG, EPOCHS, SPEC, STARTS, TASK, VALUE, learner, push, soon
from trainer.compilation import ONCE, compiled, side_by_side
from trainer.learning.compiled_pods import compiled_pods
from trainer.learning.configuration import HDSConfig, TrainingConfig
from trainer.learning.direction import gauss_newton, gradient
from trainer.learning.evaluation import evaluate, evaluate_episode
from trainer.learning.hds import HDS, mixture, schedule
from trainer.learning.labels import along_trajectory
from trainer.learning.pods import PODS
from trainer.learning.pods_state import PODSState
from trainer.learning.search import annealing, line_search
from trainer.learning.starts import exploring_starts
from trainer.learning.training import train
from trainer.policy.features import FeatureSpec

GAUSS_NEWTON, FULL_STEP = gauss_newton(0.1), annealing((1.0,))
JUDGE = compiled(evaluate(TASK, push, SPEC), ONCE)


@pytest.mark.parametrize(
    ("find_direction", "search", "epochs"),
    [
        (GAUSS_NEWTON, annealing((1.0, 0.3)), 30),
        (GAUSS_NEWTON, line_search((1.0, 0.3)), 30),
        (gradient, line_search((10.0, 3.0, 1.0, 0.1)), 40),
    ],
    ids=["HDS: Gauss-Newton, annealing", "PODS: Gauss-Newton, line search", "PODS: first order"],
)
def test_each_variant_learns_to_park_the_mass(find_direction: object, search: object, epochs: int) -> None:
    friction = jnp.full((), 0.1)
    theta = mixture(friction, friction[None], 0.0, CONFIG.batch)
    validation_models = mixture(friction, friction[None], 0.0, 128)
    algorithm = learner(find_direction, search, epochs)
    untrained = algorithm.init(jax.random.key(0)).policy
    assert float(jnp.mean(JUDGE(untrained, validation_models, jax.random.key(9)).success)) < 0.3
    *_, last = train(algorithm, JUDGE, theta, validation_models, TrainingConfig(epochs), jax.random.key(0))
    assert last.best is not None
    assert float(jnp.mean(JUDGE(last.best.policy, validation_models, jax.random.key(9)).success)) > 0.9


@pytest.mark.parametrize("failure", [0.0, 50.0], ids=["steps cost most", "failing costs most"])
def test_the_value_begins_at_the_scale_of_the_costs_and_keeps_it(failure: float) -> None:
    task = dataclasses.replace(TASK, failure=failure)
    algorithm = soon(PODS(task, push, SPEC, VALUE, STARTS, GAUSS_NEWTON, FULL_STEP, along_trajectory, CONFIG))
    state = algorithm.init(jax.random.key(3))
    step_cost = np.mean(0.5 * (np.square(state.x) @ np.array([1.0, 0.3**2])))
    expected = max(CONFIG.value_steps * step_cost, CONFIG.value_failures * failure)
    np.testing.assert_allclose(state.value.scale, expected, rtol=1e-5)
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    after, _ = algorithm.step(state, theta, 0, jax.random.key(4))
    np.testing.assert_allclose(after.value.scale, state.value.scale, rtol=1e-6)


def test_training_is_deterministic() -> None:
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    algorithm = learner(GAUSS_NEWTON, FULL_STEP)
    start = algorithm.init(jax.random.key(3))
    runs = [algorithm.step(start, theta, 0, jax.random.key(4))[0] for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *(run.policy for run in runs))


def test_epochs_that_share_a_key_draw_numbers_of_their_own() -> None:
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    algorithm, key = learner(GAUSS_NEWTON, FULL_STEP), jax.random.key(4)
    start = algorithm.init(jax.random.key(3))
    later = start._replace(epoch=start.epoch + CONFIG.kept_batches)  # the same slot of the ring
    first, second = (algorithm.step(state, theta, 0, key)[0] for state in (start, later))
    assert not np.allclose(first.actions.x[0, :, 1], second.actions.x[0, :, 1], atol=1e-3)


def test_features_are_sines_and_cosines_of_the_angles_wherever_these_stand() -> None:
    x = jnp.array([[0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2.0, 3.0, 4.0, 5.0]])
    seen = FeatureSpec(5, (0, 3), (1.0, 2.0, 4.0, 1.0, 5.0))(x)
    expected = [
        x[:, 1] / 2.0,
        x[:, 2] / 4.0,
        x[:, 4] / 5.0,
        *(f(x[:, i]) for f in (np.sin, np.cos) for i in (0, 3)),
    ]
    np.testing.assert_allclose(seen, np.stack(expected, axis=1), rtol=1e-6)


def test_mixture_takes_the_fraction_from_the_members_in_turn_and_the_rest_from_the_simulator() -> None:
    theta = mixture(jnp.asarray(-1.0), jnp.array([1.0, 2.0]), 0.75, 8)
    np.testing.assert_array_equal(theta, [1, 2, 1, 2, 1, 2, -1, -1])


def test_noise_and_temperature_fall_with_every_epoch_to_nearly_nothing() -> None:
    config = HDSConfig()
    told = [schedule(config, epoch, 10) for epoch in range(10)]
    for name in ("noise", "temperature", "learning_rate", "average_rate"):
        values = [float(getattr(at, name)) for at in told]
        assert values[0] == pytest.approx(getattr(config, name))
        assert all(late < early for early, late in itertools.pairwise(values))
    assert float(told[-1].temperature) <= 0.01 * config.temperature * 1.001


def begun(state: PODSState, *first: list[float]) -> PODSState:
    """Return `state` with its first trajectories at `first`, each with a whole episode to go."""
    x = state.x.at[: len(first)].set(jnp.array(first))
    return state._replace(x=x, left=jnp.full_like(state.left, TASK.episode_steps))


def test_an_episode_that_terminated_starts_anew_and_one_in_its_middle_goes_on() -> None:
    algorithm = learner(GAUSS_NEWTON, FULL_STEP)
    state = begun(algorithm.init(jax.random.key(0)), [3.9, 30.0], [0.5, 0.0])
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    after, _ = algorithm.step(state, theta, 0, jax.random.key(1))
    assert int(after.left[0]) == TASK.episode_steps
    assert abs(float(after.x[0, 0])) <= 1.0
    assert int(after.left[1]) == TASK.episode_steps - CONFIG.horizon


def test_a_trajectory_that_is_not_finite_teaches_nothing_and_training_goes_on() -> None:
    def fragile(theta: jax.Array, x: jax.Array, u: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(x[0]) > 0.9, jnp.nan, push(theta, x, u))

    anywhere = exploring_starts(TASK, 0.5, CONFIG.horizon)
    search = annealing((1.0, 0.3))
    algorithm = soon(
        PODS(TASK, fragile, SPEC, VALUE, anywhere, GAUSS_NEWTON, search, along_trajectory, CONFIG)
    )
    state = algorithm.init(jax.random.key(0))
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    for epoch in range(3):
        state, _ = algorithm.step(state, theta, epoch, jax.random.key(epoch))
        assert np.any(np.asarray(state.costs.weight[epoch]) == 0.0), "some trajectories did break"
        for leaf in jax.tree.leaves((state.policy, state.value, state.x, state.actions, state.costs)):
            assert np.all(np.isfinite(leaf))


def test_a_network_carries_on_when_its_states_gain_the_last_action() -> None:
    old = FeatureSpec(3, (1,), (1.0, 1.0, 2.0))
    new = FeatureSpec(4, (1,), (1.0, 1.0, 2.0, 1.0))
    kernel, x = jax.random.normal(jax.random.key(0), (old.size, 5)), jnp.array([0.3, 2.0, -1.0])
    carried = new.carry_over(kernel, old)
    z = jnp.append(x, 0.8)
    np.testing.assert_allclose(new(z) @ carried, old(x) @ kernel, rtol=1e-6)
    np.testing.assert_array_equal(old.carry_over(carried, new), kernel)
    with pytest.raises(ValueError, match="see the same states differently"):
        new.carry_over(kernel, FeatureSpec(3, (), (1.0, 1.0, 2.0)))


def test_an_epoch_compiled_in_halves_is_the_plain_one_to_rounding() -> None:
    pods = PODS(
        TASK, push, SPEC, VALUE, STARTS, GAUSS_NEWTON, line_search((1.0, 0.3)), along_trajectory, CONFIG
    )
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    whole, at = compiled(pods.step, ONCE), schedule(HDSConfig(), 0, EPOCHS)
    in_halves, key = HDS(pods, compiled_pods(pods), HDSConfig(), EPOCHS), jax.random.key(4)
    state = in_halves.init(jax.random.key(3))
    plain, told = whole(state, theta, at, key)
    halves, told_of_halves = in_halves.step(state, theta, 0, key)
    np.testing.assert_allclose(halves.x, plain.x, atol=1e-5)
    np.testing.assert_allclose(told_of_halves.scalars["policy_loss"], told.policy_loss, rtol=1e-3)
    for one, other in zip(jax.tree.leaves(halves.policy), jax.tree.leaves(plain.policy), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_what_was_compiled_side_by_side_is_not_compiled_again_when_it_is_called() -> None:
    pods = PODS(
        TASK, push, SPEC, VALUE, STARTS, GAUSS_NEWTON, line_search((1.0, 0.3)), along_trajectory, CONFIG
    )
    theta, parts = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch), compiled_pods(pods)
    ours, heard = {"init", "improve", "regress"}, []

    def hear(event: str, duration_secs: float, **of: str | int) -> None:
        del duration_secs
        if event.endswith("backend_compile_duration"):
            heard.append(str(of.get("fun_name")).removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        side_by_side(*parts.calls(theta))
        assert ours <= set(heard), "each has been compiled"
        heard.clear()
        algorithm = HDS(pods, parts, HDSConfig(), EPOCHS)
        state = algorithm.init(jax.random.key(3))
        for epoch in range(2):
            state, _ = algorithm.step(state, theta, epoch, jax.random.key(4))
        assert not ours & set(heard)
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)


def test_an_episode_that_left_the_safe_set_starts_anew_though_it_came_back() -> None:
    def bounce(theta: jax.Array, x: jax.Array, u: jax.Array) -> jax.Array:
        """Return what is beyond 4 m to the middle; 3.9 m moves on to 4.1 m."""
        return jnp.where(
            jnp.abs(x[0]) > 4.0, jnp.zeros(2), jnp.where(x[0] > 3.0, x + jnp.array([0.2, 0.0]), x)
        )

    pods = PODS(
        TASK, bounce, SPEC, VALUE, STARTS, GAUSS_NEWTON, line_search((1.0,)), along_trajectory, CONFIG
    )
    state = begun(soon(pods).init(jax.random.key(0)), [3.9, 0.0], [0.5, 0.0])
    theta = mixture(jnp.zeros(()), jnp.zeros(1), 0.0, CONFIG.batch)
    improve = compiled(pods.improve, ONCE)
    after, _ = improve(state, theta, schedule(HDSConfig(), 0, EPOCHS), jax.random.key(1))
    assert int(after.left[0]) == TASK.episode_steps
    assert int(after.left[1]) == TASK.episode_steps - CONFIG.horizon


@pytest.mark.parametrize("spoilt", [jnp.nan, 5.0], ids=["not finite", "terminated in between"])
def test_an_episode_that_broke_or_terminated_is_no_success_whatever_follows(spoilt: float) -> None:
    x, u = jnp.zeros((61, 2)), jnp.zeros((60, 1))
    assert evaluate_episode(TASK, x, u).success
    assert not evaluate_episode(TASK, x.at[20, 0].set(spoilt), u).success
