"""Tasks by name, from a user's file, and from a Brax environment."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import PipelineEnv, State
from brax.envs.wrappers.training import AutoResetWrapper
from brax.io import mjcf

from trainer.compilation import ONCE, compiled
from trainer.models.force import no_force
from trainer.models.pipeline_model import to_control
from trainer.tasks import load_task
from trainer.tasks.brax_task import brax_task
from trainer.tasks.cartpole_walls import STOPS
from trainer.tasks.task import check_fits

OWN = """
from __future__ import annotations

import dataclasses

import brax.envs
import jax.numpy as jnp
from trainer.tasks.brax_task import brax_task

def my_task():
    env = brax.envs.get_environment("inverted_double_pendulum", backend="generalized")
    return brax_task(env, lambda x, u: jnp.concatenate([x, u]), episode_steps=30)

NUMBER = 3

def needs_more(argument):
    return argument

def leaves():
    raise SystemExit(0)

@dataclasses.dataclass
class Sizes:
    length: float = 1.0
"""


def soon(function: Callable) -> Callable:
    """Return `function`, to be compiled with as little work as may be: it is called a few times only."""
    return compiled(function, ONCE)


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return "mine.py"


def test_a_users_task_is_found_by_file_and_name_and_goes_by_them(own_file: str) -> None:
    task = load_task(f"{own_file}:my_task")
    assert task.name == "mine.py:my_task"
    assert len(task.state_names) == 6
    assert load_task(f"{own_file}:my_task") is task, "compiled parts are found again by identity"


def test_a_changed_file_is_loaded_anew(own_file: str) -> None:
    before = load_task(f"{own_file}:my_task")
    Path(own_file).write_text(OWN.replace("episode_steps=30", "episode_steps=31"))
    os.utime(own_file, ns=(1, 1))
    assert (before.episode_steps, load_task(f"{own_file}:my_task").episode_steps) == (30, 31)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere.py:my_task", "no file nowhere.py"),
        ("mine.py:other", "defines no other"),
        ("mine.py:NUMBER", "NUMBER gives a int, not a Task"),
        ("/etc/hosts:my_task", "beneath"),
        ("nope", "cartpole_swingup"),
        ("broken.py:x", "SyntaxError"),
        ("mine.py:needs_more", "needs_more fails with TypeError"),
        ("mine.py:leaves", "leaves fails with SystemExit"),
    ],
)
def test_what_is_no_task_is_refused_in_words(own_file: str, name: str, told: str) -> None:
    Path("broken.py").write_text("def (")
    with pytest.raises(ValueError, match=told):
        load_task(name)


def test_a_brax_environment_becomes_a_task_with_its_own_physics() -> None:
    env = brax.envs.get_environment("inverted_double_pendulum", backend="generalized")
    task = brax_task(env, lambda x, u: jnp.concatenate([x, u]), episode_steps=30)
    assert task.features.angles == (1, 2), "two hinges without limits"
    model = task.model(no_force, 1)
    key, u = jax.random.key(1), jnp.array([0.7])
    x, begun = soon(task.reset)(key), soon(env.reset)(key)
    after, expected = soon(model)(None, x, u), soon(env.step)(begun, u).pipeline_state
    np.testing.assert_allclose(after, jnp.concatenate([expected.q, expected.qd]), atol=1e-6)
    with_push = task.model(lambda theta, q, qd, u: jnp.array([theta, 0.0, 0.0]), 1)
    step = soon(with_push)
    assert step(jnp.array(2.0), x, u)[3] > after[3] + 1e-3
    np.testing.assert_allclose(step(jnp.array(0.0), x, u), after, atol=1e-6)


def test_actions_of_minus_one_and_one_are_the_ends_of_the_actuators_range() -> None:
    env = brax.envs.get_environment("inverted_pendulum", backend="generalized")
    assert isinstance(env, PipelineEnv)
    system = env.sys
    ends = [[-3.0, 1.0]]
    system = system.replace(actuator=dataclasses.replace(system.actuator, ctrl_range=jnp.array(ends)))
    found = [float(to_control(system, jnp.array([u]))[0]) for u in (-1.0, 0.0, 1.0)]
    assert found == [-3.0, -1.0, 1.0]


def test_the_stops_push_back_lose_energy_and_leave_the_rail_alone() -> None:
    positions, velocities = (
        jnp.array([0.5, 1.05, 1.05, -1.05, 1.05]),
        jnp.array([3.0, 2.0, -2.0, -2.0, -50.0]),
    )
    forces = np.asarray(STOPS.force(positions, velocities))
    assert forces[0] == 0.0
    assert forces[1] < forces[2] < 0.0 < forces[3], "pressing in meets more force than coming back"
    assert forces[4] == 0.0, "a stop never pulls"
    step = soon(load_task("cartpole_walls").model(no_force, 1))
    x, reached, left = jnp.array([0.0, 3.14, 3.0, 0.0]), 0.0, 0.0
    for _ in range(40):
        x = step(None, x, jnp.zeros(1))
        reached, left = max(reached, float(x[0])), min(left, float(x[2]))
    assert 1.02 < reached < 1.15
    assert -3.0 < left < -0.5, "it bounces, with less than it came with"


def test_a_brax_task_takes_names_reset_and_control_step_of_a_plant() -> None:
    env = brax.envs.get_environment("inverted_pendulum", backend="generalized")
    begin = lambda key: jnp.array([0.0, jnp.pi, 0.0, 0.0])  # noqa: E731
    names = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")
    task = brax_task(
        env, lambda x, u: x, episode_steps=30, reset=begin, state_names=names, action_names=("push [3 N]",),
        control_dt=0.04,
    )  # fmt: skip
    assert (task.state_names, task.action_names) == (names, ("push [3 N]",))
    assert task.control_dt == 0.04
    np.testing.assert_allclose(task.reset(jax.random.key(0)), begin(None))
    plain = brax_task(env, lambda x, u: x, episode_steps=30)
    assert plain.control_dt == 0.04, "told in double precision"
    check_fits(plain.state_names, plain.action_names, float(np.float32(0.04)), plain, "a plant")
    with pytest.raises(ValueError, match="does not fit task"):
        check_fits(plain.state_names, plain.action_names, 0.04001, plain, "a plant")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            {"state_names": ("a", "b")},
            "the states of the environment InvertedPendulum are 4: q0, q1, qd0, qd1; got 2",
        ),
        ({"action_names": ("a", "b")}, "are 1: actuator 0; got 2 names"),
        ({"control_dt": 0.02}, "steps 0.04 s at a time (its time step times n_frames); got control_dt 0.02"),
    ],
)
def test_names_and_control_steps_that_are_not_the_environments_are_refused(wanted: dict, told: str) -> None:
    env = brax.envs.get_environment("inverted_pendulum", backend="generalized")
    with pytest.raises(ValueError, match="the environment InvertedPendulum") as refused:
        brax_task(env, lambda x, u: x, episode_steps=30, **wanted)
    assert told in str(refused.value)


class Motorless(PipelineEnv):
    """A pendulum without a motor."""

    def __init__(self) -> None:
        xml = "<mujoco><worldbody><body><joint type='hinge'/><geom size='.1'/></body></worldbody></mujoco>"
        super().__init__(sys=mjcf.loads(xml), backend="generalized", n_frames=1)

    def reset(self, rng: jax.Array) -> State:
        raise NotImplementedError

    def step(self, state: State, action: jax.Array) -> State:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: brax.envs.get_environment("swimmer"),
            "Brax cannot step a body in a fluid (density, viscosity)",
        ),
        (lambda: brax.envs.get_environment("fast"), "has no system of bodies and joints"),
        (Motorless, "the environment Motorless has no actuator"),
    ],
)
def test_what_brax_cannot_step_is_said_in_a_line_when_it_is_loaded(
    make: Callable[[], PipelineEnv], told: str
) -> None:
    with pytest.raises(ValueError, match="the environment") as refused:
        brax_task(make(), lambda x, u: x, episode_steps=30)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_users_file_may_import_the_file_beside_it(own_file: str) -> None:
    path = Path(own_file)
    path.with_name("beside_a_task.py").write_text("STEPS = 77\n")
    path.write_text(
        "import dataclasses\nfrom beside_a_task import STEPS\n"
        "from trainer.tasks.cartpole_swingup import TASK as T\n"
        "TASK = dataclasses.replace(T, episode_steps=STEPS)\n"
    )
    assert load_task(f"{path}:TASK").episode_steps == 77


def test_a_wrapped_environment_is_refused_by_kind() -> None:
    wrapped = AutoResetWrapper(brax.envs.get_environment("reacher"))
    with pytest.raises(TypeError, match="AutoResetWrapper"):
        brax_task(wrapped, lambda x, u: x, episode_steps=30)


def test_a_force_on_a_backend_without_room_for_one_is_refused() -> None:
    env = brax.envs.get_environment("inverted_pendulum", backend="spring")
    task = brax_task(env, lambda x, u: x, episode_steps=30)
    with pytest.raises(ValueError, match="'spring'"):
        task.model(lambda theta, q, qd, u: jnp.zeros_like(qd), 1)


def test_the_manuals_own_task_is_complete_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs/how-to/own-task.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    (own,) = [block for block in blocks if "brax_task" in block]
    assert len(own.splitlines()) < 60
    (tmp_path / "reach.py").write_text(own)
    monkeypatch.chdir(tmp_path)
    task = load_task("reach.py:TASK")
    x = soon(task.reset)(jax.random.key(0))
    assert task.residual(x, jnp.zeros(2)).shape == (6,)
    assert not task.success(jnp.ones((101, 8)))
    assert task.success(jnp.zeros((101, 8)))


def test_a_termination_that_costs_nothing_is_refused() -> None:
    env = brax.envs.get_environment("inverted_double_pendulum", backend="generalized")
    with pytest.raises(ValueError, match="`failure` must be above 0"):
        brax_task(env, lambda x, u: x, episode_steps=30, terminated=lambda x: x[1] > 0.2)
    priced = brax_task(env, lambda x, u: x, episode_steps=30, terminated=lambda x: x[1] > 0.2, failure=3.0)
    assert priced.failure == 3.0
