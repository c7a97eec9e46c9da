"""Plants of MuJoCo and Gymnasium, and replays."""

from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv

from protos.hds import v1
from real_env.clock import VirtualClock
from real_env.episode import LoopSettings
from real_env.fallback import FALLBACKS
from real_env.plants import make_plant
from real_env.plants.gymnasium_env import GymnasiumPlant
from real_env.plants.mujoco_model import MujocoPlant, cart_pole
from tests.support.driving import drive_episode
from tests.support.half import Half
from tests.support.programs import Programs, run
from trainer.client import TrainerClient

HANGING = np.array([0.0, np.pi, 0.0, 0.0])
NAMES = ["cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]"]


def put(plant: MujocoPlant, x: np.ndarray) -> None:
    plant.reset()
    plant._data.qpos[:], plant._data.qvel[:] = x[:2], x[2:]
    plant._data.qfrc_constraint[:] = 0.0


def held(u: float, seconds: float, x: np.ndarray = HANGING) -> np.ndarray:
    plant = cart_pole(seed=0)
    put(plant, x)
    return np.stack([plant.exchange(np.array([u], np.float32)).x for _ in range(round(seconds / 0.04))])


def test_in_mujoco_the_cart_sticks_under_half_its_dry_friction_and_slides_under_thrice() -> None:
    assert abs(held(0.095, 2.0)[-1, 0]) < 0.005
    assert held(0.6, 2.0)[-1, 0] > 0.3


def test_in_mujoco_a_coasting_cart_stops() -> None:
    speeds = np.abs(held(0.0, 10.0, np.array([0.0, np.pi, 1.0, 0.0]))[:, 2])
    assert speeds[-1] < 1e-3


def test_mujocos_cart_pole_without_friction_is_the_training_model() -> None:
    import jax.numpy as jnp

    from trainer.compilation import ONCE, compiled
    from trainer.models.force import no_force
    from trainer.tasks import load_task

    plant = cart_pole(seed=0)
    plant._model.dof_damping[:] = 0.0
    plant._model.dof_frictionloss[:] = 0.0
    model = compiled(load_task("cartpole_swingup").model(no_force, 1), ONCE)
    x = np.array([0.2, 2.0, -0.3, 1.0], np.float32)
    put(plant, x)
    for t in range(25):
        u = np.array([0.6 * np.sin(0.5 * t)], np.float32)
        x, told = model(None, jnp.asarray(x), jnp.asarray(u)), plant.exchange(u).x
        np.testing.assert_allclose(x, told, atol=0.03, err_msg=f"after {t + 1} steps")


def test_the_seed_draws_frictions_within_15_percent_and_start_states() -> None:
    plants = [cart_pole(seed) for seed in (0, 0, 1)]
    specs = [plant.spec for plant in plants]
    assert specs[0] == specs[1] != specs[2]
    starts = [plant.reset().x for plant in plants]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    for spec in specs:
        np.testing.assert_allclose(spec.parameters["damping"], [10.0, 0.375], rtol=0.151)
        np.testing.assert_allclose(spec.parameters["frictionloss"], [19.0, 0.375], rtol=0.151)


def test_a_mujoco_model_of_ones_own_is_a_plant_or_told_what_it_lacks(tmp_path: Path) -> None:
    model = tmp_path / "arm.xml"
    body = '<body><joint name="elbow" type="{joint}" damping="1"/><geom size="0.1"/></body>'
    motor = '<actuator><motor name="torque" joint="elbow" {range}/></actuator>'
    text = "<mujoco><worldbody>" + body + "</worldbody>" + motor + "</mujoco>"
    model.write_text(text.format(joint="hinge", range='ctrllimited="true" ctrlrange="-2 6"'))
    plant = make_plant(f"mujoco:{model}", seed=0)
    assert plant.spec.state_names == ("elbow [rad]", "elbow velocity [rad/s]")
    assert plant.spec.action_names == ("torque",)
    plant.reset()
    plant.exchange(np.array([0.5], np.float32))
    assert plant._data.ctrl[0] == pytest.approx(4.0)  # pyright: ignore[reportAttributeAccessIssue]
    for joint, bounds, message in (
        ("ball", 'ctrllimited="true" ctrlrange="-1 1"', "neither a hinge nor a slide"),
        ("hinge", "", "every actuator needs a ctrlrange"),
        ("spring", "", "XML"),
    ):
        model.write_text(text.format(joint=joint, range=bounds))
        with pytest.raises(ValueError, match=message) as raised:
            make_plant(f"mujoco:{model}", seed=0)
        assert str(model) in str(raised.value)
    with pytest.raises(ValueError, match="there is no file"):
        make_plant(f"mujoco:{tmp_path}/absent.xml", seed=0)


def assets() -> list[Path]:
    return sorted((Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets").glob("*.xml"))


@pytest.mark.parametrize("path", assets(), ids=lambda path: path.stem)
def test_every_model_that_gymnasium_brings_is_driven_or_refused_in_a_line(path: Path) -> None:
    if path.stem in {"ant", "humanoid", "humanoidstandup"}:
        with pytest.raises(ValueError, match=r"joint 'root' is neither a hinge nor a slide\Z"):
            make_plant(f"mujoco:{path}", 0)
        return
    plant = make_plant(f"mujoco:{path}", 0)
    reading, chance = plant.reset(), np.random.default_rng(0)
    for _ in range(5):
        reading = plant.exchange(chance.uniform(-1.0, 1.0, len(plant.spec.action_names)).astype(np.float32))
    assert reading.x.shape == (len(plant.spec.state_names),)
    assert np.isfinite(reading.x).all()
    assert len(set(plant.spec.state_names)) == len(plant.spec.state_names)


def test_a_model_that_says_no_control_step_has_the_multiple_of_its_time_step_next_to_40_ms(
    tmp_path: Path,
) -> None:
    body = "<body><joint name='j' type='hinge'/><geom size='.1'/></body>"
    motor = "<actuator><motor joint='j' ctrlrange='-1 1'/></actuator>"
    path = tmp_path / "own.xml"
    for step, expected in ((0.03, 0.03), (0.003, 0.039), (0.002, 0.04), (0.1, 0.1)):
        path.write_text(f"<mujoco><option timestep='{step}'/><worldbody>{body}</worldbody>{motor}</mujoco>")
        assert make_plant(f"mujoco:{path}", 0).spec.control_dt == pytest.approx(expected)
    path.write_text(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
    with pytest.raises(ValueError, match="has no actuator; nothing could drive it"):
        make_plant(f"mujoco:{path}", 0)


def test_a_plants_file_may_import_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_a_plant.py").write_text("from tests.plants.still import Still\n")
    path = tmp_path / "rig.py"
    path.write_text("from __future__ import annotations\nimport beside_a_plant\nRig = beside_a_plant.Still\n")
    assert make_plant(f"{path}:Rig", 0).spec.name == "still"


def test_gymnasiums_environment_moves_as_gymnasium_moves_it() -> None:

    bare = gymnasium.make("InvertedPendulum-v5")
    plant = GymnasiumPlant("InvertedPendulum-v5", seed=3)
    told, _ = bare.reset(seed=3)
    np.testing.assert_allclose(plant.reset().x, told, rtol=1e-6)
    assert plant.spec.control_dt == pytest.approx(0.04)
    for k in range(200):
        u = 0.4 * np.sin(0.9 * k)
        after = plant.exchange(np.array([u], np.float32))
        told, _, terminated, _, _ = bare.step(np.array([3.0 * u], np.float32))
        np.testing.assert_allclose(after.x, told, rtol=1e-3, atol=1e-4)
        assert after.terminated == terminated
        if terminated:
            break
    else:
        pytest.fail("the pole never fell")
    np.testing.assert_array_equal(plant.exchange(np.zeros(1, np.float32)).x, after.x)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("CartPole-v1", "its actions are Discrete"),
        ("Absent-v0", "Absent"),
        ("Taxi-v4", "its observations are"),
    ],
)
def test_an_environment_that_is_no_plant_is_told_why(identity: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plant(f"gymnasium:{identity}", seed=0)


def test_a_gymnasium_plant_is_driven_by_a_policy_under_the_tasks_names(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    words = ["run", "--plant", "gymnasium:InvertedPendulum-v5", "--evaluate", "2", "--trainer", trainer]
    words += ["--controller", controller, "--spool", str(tmp_path / "spool.sqlite"), "--state-names"]
    refused = run("real_env", *words, "a", "b")
    assert refused.returncode == 2
    assert "--state-names needs a name for each of: observation 0, observation 1" in refused.stderr
    driven = run("real_env", *words, *NAMES, "--action-names", "push [100 N]")
    assert driven.returncode == 0, driven.stderr
    episodes = TrainerClient(trainer).episodes("", v1.PURPOSE_EVALUATE)
    assert len(episodes) == 2
    assert all(episode.terminated for episode in episodes), "an untrained policy drops the pole"


def test_a_recorded_session_is_replayed_to_another_policy_and_never_learned_from(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    b, a = publish(seed=2), publish(seed=1)
    trainer, _, controller = programs.both()
    words = ["run", "--trainer", trainer, "--controller", controller, "--spool", str(tmp_path / "s.sqlite")]
    drive = [*words, "--plant", "mujoco-cart-pole", "--collect", "2.4", "--episode-seconds", "0.8"]
    assert run("real_env", *drive).returncode == 0
    client = TrainerClient(trainer)
    recorded = client.episodes("", v1.PURPOSE_COLLECT)
    session = recorded[0].session
    replay = [*words, "--plant", f"replay:{trainer}/{session}", "--policy-version", b]
    refused = run("real_env", *replay, "--collect", "1")
    assert refused.returncode == 1
    assert "is a recording; it can only be evaluated" in refused.stderr
    replayed = run("real_env", *replay, "--evaluate", "3")
    assert replayed.returncode == 0, replayed.stderr
    again = client.episodes("", v1.PURPOSE_EVALUATE)
    assert [episode.steps for episode in again] == [episode.steps for episode in recorded] == [20, 20, 20]
    for before, after in zip(recorded, again, strict=True):
        rows = [client.transitions(e.session, e.episode) for e in (before, after)]
        for old, new in zip(*rows, strict=True):
            assert (old.x, old.x_next, old.u_applied) == (new.x, new.x_next, new.u_applied)
            assert (old.policy_version, new.policy_version) == (a, b)
            assert old.u_requested != new.u_requested
        assert rows[1][-1].truncated
    unknown = run("real_env", *words, "--plant", f"replay:{trainer}/nothing", "--evaluate", "1")
    assert unknown.returncode == 2
    assert "has no session nothing" in unknown.stderr


def test_plants_lists_what_there_is() -> None:
    listed = run("real_env", "plants").stdout
    for name in ("brax-friction", "mujoco-cart-pole", "gymnasium:", "serial:", "replay:", "FILE.py:CLASS"):
        assert name in listed


SERVO = """
<mujoco><option timestep="0.01"/><worldbody><body>
  <joint name="angle" type="hinge" axis="0 1 0"/>
  <geom type="capsule" fromto="0 0 0 0 0 0.1" size="0.01" mass="1e-6"/>
</body></worldbody>
<actuator>
  <position name="servo" joint="angle" kp="1e5" kv="1e-3" ctrllimited="true" ctrlrange="-3 3"/>
</actuator>
<custom><numeric name="control_dt" data="0.05"/></custom>
<keyframe><key qpos="3"/></keyframe></mujoco>
"""


class Servo(MujocoEnv):
    """The servo as an environment of Gymnasium."""

    def __init__(self, model: str) -> None:
        self.metadata = {
            "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
            "render_fps": 20,
        }
        space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
        super().__init__(model, frame_skip=5, observation_space=space)

    def reset_model(self) -> np.ndarray:
        self.set_state(np.array([3.0]), np.zeros(1))
        return self._seen()

    def step(self, action: np.ndarray) -> tuple:
        self.do_simulation(action, self.frame_skip)
        return self._seen(), 0.0, False, False, {}

    def _seen(self) -> np.ndarray:
        return np.concatenate([self.data.qpos, self.data.qvel])


@pytest.fixture(params=["mujoco", "gymnasium"])
def diverging(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a plant whose simulation diverges."""
    monkeypatch.chdir(tmp_path)  # MuJoCo logs it there
    model = tmp_path / "servo.xml"
    model.write_text(SERVO)
    if request.param == "mujoco":
        yield f"mujoco:{model}"
        return
    gymnasium.register("HDS/Servo-v0", "tests.test_plants:Servo", kwargs={"model": str(model)})
    try:
        yield "gymnasium:HDS/Servo-v0"
    finally:
        del gymnasium.registry["HDS/Servo-v0"]


def test_a_simulation_that_diverges_ends_the_episode_and_its_reset_is_not_recorded(diverging: str) -> None:
    """MuJoCo starts such a model anew without an error, at (0, 0) instead of (3, 0)."""
    rows: list[v1.Transition] = []
    settings = LoopSettings(20, 0.8, 9, FALLBACKS["zero"])
    timing = drive_episode(make_plant(diverging, 0), Half(), VirtualClock(), settings, rows.append)
    assert 1 <= len(rows) < 20
    assert rows[-1].end == v1.END_CAUSE_DIVERGED
    assert (rows[-1].truncated, rows[-1].terminated) == (True, False)
    assert np.all(np.isnan(rows[-1].x_next))
    assert all(row.x[0] != 0.0 for row in rows)
    assert "the simulation diverged" in timing.left[0]
