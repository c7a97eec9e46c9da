"""Every plant keeps the contract."""

import threading
from pathlib import Path

import numpy as np
import pytest

from protos.hds import v1
from real_env.compliance import PlantCompliance
from real_env.fault_injection import Faults, FaultyPlant
from real_env.plant import Plant, Reading
from real_env.plants import make_plant
from real_env.plants.replay import ReplayPlant
from tests.support.firmware import rig_file, simulated_pendulum
from tests.support.machine import Machine
from tests.support.programs import STILL


class TestBraxFriction(PlantCompliance):
    def make(self) -> Plant:
        return make_plant("brax-friction", seed=0)


class TestMujocoCartPole(PlantCompliance):
    def make(self) -> Plant:
        return make_plant("mujoco-cart-pole", seed=0)


class TestGymnasium(PlantCompliance):
    def make(self) -> Plant:
        return make_plant("gymnasium:InvertedPendulum-v5", seed=0)


class TestGymnasiumWithoutMujoco(PlantCompliance):
    def make(self) -> Plant:
        return make_plant("gymnasium:Pendulum-v1", seed=0)


class TestFaulty(PlantCompliance):
    def make(self) -> Plant:
        faults = Faults(action_delay=1, dead_band=0.1, sensor_delay=2, noise=(0.1,), quantum=(0.01,))
        return FaultyPlant(make_plant("mujoco-cart-pole", seed=0), faults, seed=0)


class TestOnesOwn(PlantCompliance):
    def make(self) -> Plant:
        return make_plant(STILL, seed=0)


class TestReplay(PlantCompliance):
    def make(self) -> Plant:
        spec = v1.PlantSpec(name="rig", state_names=["x", "v"], action_names=["u"], control_dt_s=0.1)
        rows = [v1.Transition(x=[k, 1.0], x_next=[k + 1, 1.0], u_applied=[0.1]) for k in range(3)]
        return ReplayPlant(spec, [rows, rows])


class TestSerial(PlantCompliance):
    @pytest.fixture(autouse=True)
    def _line(self, tmp_path: Path):
        with simulated_pendulum(tmp_path) as line:
            self.rig = rig_file(tmp_path, line)
            yield

    def make(self) -> Plant:
        return make_plant(f"serial:{self.rig}", seed=0)


BROKEN = {
    "float64": lambda x: x.astype(np.float64),
    "of another size": lambda x: x[:-1],
    "not finite": lambda x: np.full_like(x, np.nan),
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_the_suite_finds_a_plant_whose_readings_are(wrong: str) -> None:
    class Broken(TestMujocoCartPole):
        def make(self) -> Plant:
            plant = super().make()
            sound = plant.exchange
            plant.exchange = lambda command: sound(command)._replace(x=BROKEN[wrong](sound(command).x))
            return plant

    with pytest.raises(AssertionError):
        Broken().test_readings_have_the_size_the_spec_tells_and_are_finite_float32()


def test_the_suite_finds_a_plant_that_reuses_its_buffer() -> None:
    class Broken(TestMujocoCartPole):
        def make(self) -> Plant:
            plant = super().make()
            sound, buffer = plant.exchange, plant.reset().x

            def exchange(command: np.ndarray):
                after = sound(command)
                buffer[:] = after.x
                return after._replace(x=buffer)

            plant.exchange = exchange
            return plant

    with pytest.raises(AssertionError):
        Broken().test_a_reading_is_not_changed_by_later_ones()


class OfTheWallClock(PlantCompliance):
    """A machine that holds its commands in a way that a test chooses."""

    __test__ = False

    hold: str = ""

    def make(self) -> Plant:
        return Machine(hold=self.hold)


@pytest.mark.parametrize(
    ("hold", "found"),
    [
        ("for a control step", "never for a control step from the call on"),
        ("no", r"give the plant a method read\(\) -> Reading"),
    ],
)
def test_the_suite_finds_a_plant_whose_readings_do_not_keep_to_the_ticks(hold: str, found: str) -> None:
    suite = OfTheWallClock()
    suite.hold = hold
    with pytest.raises(AssertionError, match=found):
        suite.test_its_readings_are_there_at_the_ticks_of_the_wall_clock()


def test_the_suite_passes_a_plant_that_waits_until_its_own_absolute_tick() -> None:
    suite = OfTheWallClock()
    suite.hold = "to its own tick"
    suite.test_its_readings_are_there_at_the_ticks_of_the_wall_clock()


def test_the_suite_finds_a_plant_whose_close_waits_for_a_call_under_way() -> None:
    class Locked(Machine):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def exchange(self, command: np.ndarray) -> Reading:
            with self.lock:
                self.go_on.wait(1.5)
                return super().exchange(command)

        def close(self) -> None:
            with self.lock:
                self.go_on.set()

    class Suite(OfTheWallClock):
        def make(self) -> Plant:
            return Locked()

    with pytest.raises(AssertionError, match="close took"):
        Suite().test_it_can_be_closed_from_another_thread_while_a_call_is_under_way()
