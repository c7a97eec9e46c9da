"""What every plant must keep, as tests.

Subclass it for a plant of your own, and run pytest:

    from real_env.compliance import PlantCompliance
    from my_rig import MyRig

    class TestMyRig(PlantCompliance):
        def make(self):
            return MyRig(seed=0)

The plant is driven with at most `gentle` of its full action, for a second in all.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from real_env.plant import Plant, Reading


class PlantCompliance(ABC):
    """The contract of `Plant`, one test for each claim."""

    gentle: float = 0.2
    """The largest action that the tests ask for, in (0, 1]."""
    steps: int = 5
    """Control steps of each drive."""

    @abstractmethod
    def make(self) -> Plant:
        """Return a new plant."""

    @contextlib.contextmanager
    def plant(self) -> Iterator[Plant]:
        """Yield a plant, and close it."""
        plant = self.make()
        try:
            yield plant
        finally:
            plant.close()

    def check_reading(self, reading: Reading, plant: Plant) -> None:
        """Fail unless `reading` is one of `plant`."""
        assert reading.x.shape == (len(plant.spec.state_names),), "a state has one number for each name"
        assert reading.x.dtype == np.float32, f"states are float32; this one is {reading.x.dtype}"
        assert np.all(np.isfinite(reading.x)), f"states are finite; this one is {reading.x.tolist()}"
        assert type(reading.terminated) is bool, "terminated is a bool, not numpy's"
        if reading.u_applied is not None:
            assert reading.u_applied.shape == (len(plant.spec.action_names),)
            assert np.all(np.abs(reading.u_applied) <= 1.0)

    def test_its_spec_names_every_state_and_action_once_and_has_a_control_step(self) -> None:
        """Names are how controller and trainer know what a number is."""
        with self.plant() as plant:
            spec = plant.spec
            for names in (spec.state_names, spec.action_names):
                assert len(names) > 0
                assert all(isinstance(name, str) and name for name in names)
                assert len(set(names)) == len(names), f"a name stands twice in {names}"
            assert np.isfinite(spec.control_dt)
            assert spec.control_dt > 0.0
            assert spec.name
            assert spec.message().control_dt_s == spec.control_dt

    def test_readings_have_the_size_the_spec_tells_and_are_finite_float32(self) -> None:
        """A wrong size or a NaN would only be found by the controller."""
        with self.plant() as plant:
            self.check_reading(plant.reset(), plant)
            for _ in range(self.steps):
                self.check_reading(plant.exchange(self._command(plant, 0.0)), plant)

    def test_a_reset_plant_has_not_left_its_safe_set(self) -> None:
        """An episode that begins terminated has no steps."""
        with self.plant() as plant:
            assert not plant.reset().terminated

    def test_a_reading_is_not_changed_by_later_ones(self) -> None:
        """What was recorded must stay as it was."""
        with self.plant() as plant:
            readings = [plant.reset()]
            copies = [readings[0].x.copy()]
            for _ in range(self.steps):
                readings.append(plant.exchange(self._command(plant, self.gentle)))
                copies.append(readings[-1].x.copy())
            for reading, copy in zip(readings, copies, strict=True):
                np.testing.assert_array_equal(reading.x, copy)

    def test_a_command_is_not_changed(self) -> None:
        """The loop records the command after the plant had it."""
        with self.plant() as plant:
            plant.reset()
            command = self._command(plant, self.gentle)
            plant.exchange(command)
            np.testing.assert_array_equal(command, self._command(plant, self.gentle))

    def test_it_takes_commands_of_both_signs(self) -> None:
        """Actions are in [-1, 1]."""
        with self.plant() as plant:
            plant.reset()
            for sign in (1.0, -1.0):
                self.check_reading(plant.exchange(self._command(plant, sign * self.gentle)), plant)

    def test_it_can_be_reset_in_the_middle_of_an_episode_and_after_it(self) -> None:
        """The clock ends most episodes."""
        with self.plant() as plant:
            for _ in range(2):
                self.check_reading(plant.reset(), plant)
                self.check_reading(plant.exchange(self._command(plant, self.gentle)), plant)

    def test_it_can_be_left_without_torque_at_any_time(self) -> None:
        """The loop does so before the first episode and after the last."""
        with self.plant() as plant:
            plant.exchange(self._command(plant, 0.0))
            plant.reset()
            plant.exchange(self._command(plant, 0.0))
            plant.exchange(self._command(plant, 0.0))

    def test_closing_it_twice_is_harmless(self) -> None:
        """Programs that end in a hurry do."""
        plant = self.make()
        plant.reset()
        plant.close()
        plant.close()

    def _command(self, plant: Plant, size: float) -> np.ndarray:
        return np.full(len(plant.spec.action_names), size, np.float32)
