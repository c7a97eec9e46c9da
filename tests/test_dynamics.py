"""Learned dynamics find what made the data: friction, and a force that no law of ours contains."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.benchmarks.coverage import compare
from trainer.dynamics.black_box_dynamics import BlackBoxDynamics
from trainer.dynamics.catalogue import DYNAMICS, ENOUGH, fit_best, held_out_error, load_dynamics
from trainer.dynamics.dynamics_model import WINDOW_STEPS, DynamicsModel, Fit, Split, split
from trainer.dynamics.ensemble_dynamics import EnsembleDynamics
from trainer.dynamics.fitted_model import Fitted
from trainer.dynamics.groups import DELAY, FRICTION, GAIN, MASS
from trainer.dynamics.identification import exact_predictor
from trainer.dynamics.linearise import missing_force
from trainer.dynamics.metrics import figures
from trainer.dynamics.physics_dynamics import PhysicsDynamics, linearised
from trainer.dynamics.residual_dynamics import ResidualDynamics
from trainer.dynamics.validation import horizon_errors, least_held_out
from trainer.dynamics.windows import Segment, make_windows
from trainer.learning.trajectory import rollout
from trainer.models.friction import Friction, friction_force
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
TRUE = Friction(*(jnp.array(v) for v in ([9.0, 0.35], [17.0, 0.45], [8.0, 0.2], [0.1, 0.1])))


WIDTH, FINER = 0.005, 16
"""Nearly true dry friction [m/s or rad/s], and steps per control step that are fine enough for it."""


def friction_only(theta: object, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    return friction_force(TRUE, qd, WIDTH)


def with_wind(theta: object, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    return friction_force(TRUE, qd, WIDTH) + jnp.stack([15.0 * jnp.sin(q[1]), jnp.zeros(())])


@functools.cache
def recorded(force: object, episodes: int, steps: int = 125) -> list[Segment]:
    model = TASK.model(force, FINER)  # pyright: ignore[reportArgumentType]
    drive = jax.jit(lambda x, u: rollout(model, None, lambda t, x: u[t], x, steps))
    segments = []
    for episode in range(episodes):
        key_x, key_u = jax.random.split(jax.random.key(episode))
        u = jnp.repeat(jax.random.uniform(key_u, (steps // 5 + 1, 1), minval=-1.0), 5, axis=0)[:steps]
        trajectory = drive(TASK.reset(key_x), u)
        segments.append(Segment(np.asarray(trajectory.x), np.asarray(trajectory.u)))
    return segments


def silent(share: float) -> None:
    """Report to nobody."""


@functools.cache
def friction_fit(force: object) -> Fit:
    return PhysicsDynamics().fit(TASK, recorded(force, 2), jax.random.key(0), silent)


def test_friction_is_recovered_from_ten_seconds_of_motion() -> None:
    fit = friction_fit(friction_only)
    found = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fit.members.friction)
    np.testing.assert_allclose(found.viscous, TRUE.viscous, rtol=0.05)
    np.testing.assert_allclose(found.dry, TRUE.dry, rtol=0.05)
    for error in fit.errors.values():
        for learned, simulator, still in zip(error.learned, error.simulator, error.persistence, strict=True):
            assert learned < 0.1 * min(simulator, still)


def test_the_intervals_hold_the_truth_and_are_of_use() -> None:
    estimates = friction_fit(friction_only).estimates
    for name, truth in (("viscous friction of cart", 9.0), ("dry friction of cart", 17.0)):
        estimate = estimates[name]
        assert estimate.identified
        assert estimate.low < estimate.value < estimate.high
        assert estimate.high - estimate.low < 0.15 * truth
        assert estimate.low - 0.01 * truth < truth < estimate.high + 0.01 * truth


def test_of_a_plant_that_never_moved_nothing_is_identified_and_the_fit_says_so() -> None:
    still = Segment(
        np.tile(np.array([0.0, np.pi, 0.0, 0.0], np.float32), (126, 1)), np.zeros((125, 1), np.float32)
    )
    fit = PhysicsDynamics().fit(TASK, [still], jax.random.key(0), silent)
    assert not any(estimate.identified for estimate in fit.estimates.values())
    assert all(np.isfinite(tuple(estimate)).all() for estimate in fit.estimates.values())


def test_a_joint_that_was_pushed_and_never_moved_is_no_reason_for_a_model_that_breaks() -> None:
    x = np.tile(np.array([0.0, np.pi, 0.0, 0.0], np.float32), (151, 1))
    x[:, 1] += 0.3 * np.sin(0.3 * np.arange(151))
    x[:, 3] = np.gradient(x[:, 1], TASK.control_dt)
    fit = PhysicsDynamics().fit(TASK, [Segment(x, np.full((150, 1), 0.1))], jax.random.key(0), silent)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(fit.members))
    assert fit.estimates["viscous friction of cart"].value < 30.0, "as the prior has it, for 10 N"
    assert all(np.all(np.isfinite(error.learned)) for error in fit.errors.values())


def test_whatever_the_parameters_friction_is_physical() -> None:
    unit = jnp.array([[20.0, 1.0], [2.0, 3.0], [1e3, 1e2]])
    for p in 30.0 * np.random.default_rng(0).normal(size=(50, 8)):
        friction = FRICTION.constrain(
            PhysicsDynamics().nominal_parameters(TASK), jnp.asarray(p, jnp.float32), unit
        ).friction
        assert all(np.all(np.isfinite(leaf)) and np.all(np.asarray(leaf) >= 0) for leaf in friction)
        speeds = jnp.linspace(-5.0, 5.0, 21)
        power = jax.vmap(lambda v, f=friction: friction_force(f, jnp.stack([v, v])))(speeds) * speeds[:, None]
        assert np.all(np.asarray(power) <= 0.0), "friction takes energy away at every speed"


def test_the_residual_explains_a_force_that_friction_does_not() -> None:
    base = friction_fit(with_wind)
    better = ResidualDynamics().fit(TASK, recorded(with_wind, 2), jax.random.key(0), silent)
    assert held_out_error(better) < 0.5 * held_out_error(base)


def test_the_estimates_are_named_after_the_joints() -> None:
    names = friction_fit(friction_only).estimates
    assert names.keys() >= {"viscous friction of cart", "dry friction of pole"}


@functools.cache
def recorded_on_another_rig() -> tuple[Segment, ...]:
    """Return motion of a cart-pole with a heavier pole and a weaker motor that acts half a step late."""
    rig = PhysicsDynamics("rig", (FRICTION, GAIN, MASS, DELAY), FINER, WIDTH)
    theta = rig.nominal_parameters(TASK)._replace(
        friction=TRUE, gain=jnp.array([0.85]), mass=jnp.array([1.0, 1.25]), delay=jnp.array(0.5)
    )
    model, segments = rig.model(TASK), []
    drive = jax.jit(lambda z, u: rollout(model, theta, lambda t, x: u[t], z, 150))
    for episode in range(2):
        key_x, key_u = jax.random.split(jax.random.key(10 + episode))
        u = jnp.repeat(jax.random.uniform(key_u, (30, 1), minval=-1.0), 5, axis=0)
        trajectory = drive(jnp.concatenate([TASK.reset(key_x), jnp.zeros(1)]), u)
        segments.append(Segment(np.asarray(trajectory.x[:, :4]), np.asarray(trajectory.u)))
    return tuple(segments)


@functools.cache
def fit_to_another_rig() -> Fit:
    return load_dynamics("physics").fit(TASK, list(recorded_on_another_rig()), jax.random.key(0), silent)


def test_delay_and_the_ratio_of_gain_and_masses_are_identified_and_their_common_scale_is_not() -> None:
    fit = fit_to_another_rig()
    found = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fit.members)
    np.testing.assert_allclose(found.delay, 0.5, atol=0.1)
    np.testing.assert_allclose(found.gain[0] / found.mass[0], 0.85, rtol=0.05)
    np.testing.assert_allclose(found.mass[1] / found.mass[0], 1.25, rtol=0.1)
    scales = [fit.estimates[name].identified for name in fit.estimates if "gain" in name or "mass" in name]
    assert False in scales, "masses, gain and friction may all be multiplied by one number"
    truths = {"gain of push": 0.85, "mass factor of pole": 1.25, "dry friction of cart": 17.0}
    for name, truth in truths.items():
        estimate = fit.estimates[name]
        assert estimate.low < truth < estimate.high, "no interval is narrower than the common scale is known"


@pytest.mark.parametrize(
    "chosen", [BlackBoxDynamics(), load_dynamics("residual")], ids=lambda chosen: chosen.name
)
def test_networks_learn_what_the_simulator_lacks(chosen: DynamicsModel) -> None:
    fit = chosen.fit(TASK, recorded(friction_only, 4), jax.random.key(0), silent)
    error = fit.errors[0.5]
    assert error.learned[0] < 0.5 * min(error.simulator[0], error.persistence[0])


def test_members_of_an_ensemble_differ_and_the_first_is_the_fit_itself() -> None:
    ensemble = EnsembleDynamics(PhysicsDynamics(), members=3)
    fit = ensemble.fit(TASK, recorded(friction_only, 2), jax.random.key(0), silent)
    dry = np.asarray(fit.members.friction.dry[:, 0])
    assert dry.shape == (3,)
    assert len(set(dry)) == 3
    np.testing.assert_allclose(dry[0], friction_fit(friction_only).members.friction.dry[0, 0], rtol=1e-6)
    np.testing.assert_allclose(dry, 17.0, rtol=0.2)
    assert fit.calibration is not None
    assert fit.calibration.scale > 0.0
    assert fit.calibration.coverage > 0.6, "once scaled, the spread says how large errors are"


def test_nothing_learned_is_the_simulator() -> None:
    x, u = jnp.array([0.1, 2.0, 0.5, -1.0]), jnp.array([0.3])
    free = TASK.model(lambda theta, q, qd, u: jnp.zeros(2), 1)(None, x, u)
    for chosen in DYNAMICS.values():
        z = jnp.concatenate([x, jnp.full(chosen.action_history, -0.8)])
        after = chosen.model(TASK)(chosen.nominal_parameters(TASK), z, u)
        np.testing.assert_allclose(after[:4], free, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(after[4:], u[: chosen.action_history])


def test_where_too_little_is_recorded_to_hold_any_of_it_out_no_error_is_told() -> None:
    segments = recorded(friction_only, 1, 24)
    fit = PhysicsDynamics().fit(TASK, segments, jax.random.key(0), silent)
    assert fit.errors == {}
    assert not split(segments, least_held_out(TASK)).held_out


def test_a_fit_is_not_worse_than_nothing_moves_where_all_that_is_held_out_is_rest_under_a_push() -> None:
    rest = np.tile(np.array([0.1, np.pi, 0.0, 0.0], np.float32), (41, 1))
    pushed = Segment(rest, np.full((40, 1), 0.1, np.float32))  # 10 N, less than the cart's dry friction
    theta = Fitted(
        PhysicsDynamics().nominal_parameters(TASK)._replace(friction=TRUE), jnp.full(2, 1e-3), jnp.zeros(2)
    )
    parts = Split(recorded(friction_only, 1), [pushed])
    error = horizon_errors(exact_predictor(PhysicsDynamics(), TASK), TASK, theta, parts)[0.5]
    assert error.relative_rms < 0.01
    assert error.over_persistence is not None
    assert error.over_persistence.mean < 1e-4
    assert error.simulator[0] > 0.05, "without friction the cart would have gone"


def test_auto_tries_no_further_model_where_the_first_leaves_only_noise() -> None:
    choice = fit_best(TASK, recorded(friction_only, 2), jax.random.key(0), silent)
    assert list(choice.errors) == ["friction"]
    assert choice.errors["friction"] <= ENOUGH
    assert "auto selected 'friction'" in choice.why


def test_data_that_is_too_short_is_refused_with_its_length() -> None:
    with pytest.raises(ValueError, match="no stretch of 10 steps; the longest has 4"):
        PhysicsDynamics().fit(TASK, recorded(friction_only, 1, 4), jax.random.key(0), silent)


def test_an_unknown_dynamics_model_is_answered_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match="unknown dynamics model 'magic'; choose one of: friction, drive, physics, "
    ):
        load_dynamics("magic")


def test_the_units_of_the_prior_do_not_depend_on_padding() -> None:
    segments = recorded(friction_only, 1, 30)
    few, many = (make_windows(segments, WINDOW_STEPS, count) for count in (21, 64))
    simulator = PhysicsDynamics("simulator", ())
    missed = [
        missing_force(
            linearised(simulator, TASK)(simulator.nominal_parameters(TASK), windows),
            TASK.positions,
            windows.weight,
        )
        for windows in (few, many)
    ]
    np.testing.assert_allclose(*missed, rtol=1e-4)


def late_by_one_and_a_half() -> list[Segment]:
    """Return motion of the cart-pole with friction, whose actions come 1.5 control steps late."""
    segments, model = [], TASK.model(friction_only, FINER)
    drive = jax.jit(lambda x, u: rollout(model, None, lambda t, x: u[t], x, 125))
    for segment in recorded(friction_only, 2):
        u = np.concatenate([np.zeros((2, 1), np.float32), segment.u])
        acting = jnp.asarray(0.5 * (u[:125] + u[1:126]))
        segments.append(Segment(np.asarray(drive(segment.x[0], acting).x), segment.u))
    return segments


def test_a_delay_beyond_what_the_model_can_say_is_told_to_be_at_its_bound_and_not_identified() -> None:
    name = "delay of actions in control steps"
    choice = fit_best(TASK, late_by_one_and_a_half(), jax.random.key(0), silent)
    within, beyond = fit_to_another_rig(), choice.fit
    assert list(choice.errors) == ["friction", "drive", "physics"], (
        "no network sees the action before the last"
    )
    assert beyond.estimates[name].at_bound
    assert not beyond.estimates[name].identified
    assert figures(TASK, beyond)[f"at its bound: {name}"] == 1.0
    assert within.estimates[name].identified
    assert not within.estimates[name].at_bound


@pytest.mark.parametrize("source", ["own", "mujoco"])
def test_intervals_hold_the_truth_of_rigs_with_dry_friction_and_noisy_sensors(source: str) -> None:
    task, found = load_task("pendulum"), []
    for draw in range(6):
        found += compare(task, source, True, "friction", frozenset(), draw)
    known = [one for one in found if one.identified]
    assert len(known) >= 12, "viscous and dry friction of each"
    assert sum(one.inside for one in known) >= 0.75 * len(known)
    assert np.median([one.width for one in known]) < 0.25, "and are of use"
