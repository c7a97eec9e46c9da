from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from real_env.plants import make_plant
from real_env.plants.brax_friction import (
    DEFAULT,
    FRICTIONLESS,
    BraxFrictionPlant,
    control_step,
    drawn_constants,
)
from trainer.compilation import ONCE, compiled
from trainer.models.force import no_force
from trainer.tasks import load_task

HANGING = np.array([0.0, np.pi, 0.0, 0.0], np.float32)


def held(force: float, seconds: float, x: np.ndarray = HANGING) -> np.ndarray:
    """Return the states while the drive pushes with `force` [N]."""
    states = [x]
    for _ in range(round(seconds / 0.04)):
        states.append(np.asarray(control_step(DEFAULT, jnp.asarray(states[-1]), jnp.array([force / 100.0]))))
    return np.stack(states)


def test_under_half_its_dry_friction_the_cart_creeps_less_than_5_mm_in_2_s() -> None:
    assert abs(held(0.5 * float(DEFAULT.dry[0]), 2.0)[-1, 0]) < 0.005


def test_under_twice_its_break_away_force_the_cart_moves_more_than_0_3_m() -> None:
    assert held(2.0 * float(DEFAULT.break_away[0]), 2.0)[-1, 0] > 0.3


def test_a_coasting_cart_stops_in_finite_time() -> None:
    speeds = np.abs(held(0.0, 8.0, np.array([0.0, np.pi, 1.0, 0.0], np.float32))[:, 2:])
    assert speeds[0, 0] == 1.0
    assert np.all(speeds[-25:, 0] < 1e-3)


def test_without_friction_the_plant_is_the_training_model() -> None:
    model = compiled(load_task("cartpole_swingup").model(no_force, 1), ONCE)
    x = y = jnp.array([0.2, 2.0, -0.3, 1.0])
    for t in range(25):
        u = jnp.array([0.6 * np.sin(0.5 * t)])
        x, y = model(None, x, u), control_step(FRICTIONLESS, y, u)
        # what is left is the plant's first-order physics step; velocities reach 7 rad/s here
        np.testing.assert_allclose(x, y, atol=0.03, err_msg=f"after {t + 1} steps")


def test_with_friction_the_plant_is_not_the_training_model() -> None:
    model = load_task("cartpole_swingup").model(no_force, 1)
    x, u = jnp.array([0.0, np.pi, 0.5, 0.0]), jnp.zeros(1)
    assert abs(float((model(None, x, u) - control_step(DEFAULT, x, u))[2])) > 0.05


def test_constants_differ_between_seeds_by_at_most_15_percent() -> None:
    drawn = [np.concatenate(drawn_constants(seed)) for seed in range(20)]
    ratios = np.stack(drawn) / np.concatenate(DEFAULT)
    assert np.all(np.abs(ratios - 1.0) <= 0.15 + 1e-6)
    assert np.ptp(ratios, axis=0).min() > 0.1


def test_the_same_seed_makes_the_same_plant() -> None:
    one, two = (BraxFrictionPlant(seed=5) for _ in range(2))
    assert one.spec == two.spec
    np.testing.assert_array_equal(one.reset().x, two.reset().x)
    command = np.array([0.7], np.float32)
    np.testing.assert_array_equal(one.exchange(command).x, two.exchange(command).x)


def test_an_unknown_plant_is_answered_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match="unknown plant 'pendulum'; choose one of: brax-friction, mujoco-cart-pole, "
    ):
        make_plant("pendulum", seed=0)


def test_a_plant_of_ones_own_is_found_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "my_rig.py"
    file.write_text("class MyRig:\n    def __init__(self, seed):\n        self.seed = seed\n")
    assert make_plant(f"{file}:MyRig", seed=4).seed == 4  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="defines no Other"):
        make_plant(f"{file}:Other", seed=0)
    with pytest.raises(ValueError, match=r"there is no file .*absent\.py"):
        make_plant(f"{tmp_path}/absent.py:MyRig", seed=0)
    file.write_text("import a_driver_that_is_missing")
    with pytest.raises(ModuleNotFoundError, match="a_driver_that_is_missing"):
        make_plant(f"{file}:MyRig", seed=0)
