"""What every plant must keep, as tests.

Subclass it for a plant of your own, and run pytest:

    from real_env.compliance import PlantCompliance
    from my_rig import MyRig

    class TestMyRig(PlantCompliance):
        def make(self):
            return MyRig(seed=0)

The plant is driven with at most `gentle` of its full action, for a few seconds in all.
"""

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from real_env.plant import Plant, Reading, reader
from real_env.readings import checked

ANSWER_SHARE, TICKS, LATE_SHARE = 0.4, 15, 0.1
"""When in the control step the tests of pace command, for how many of them, and how late a reading may be."""
CLOSE_S = 1.0
"""How long `close` may take."""


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
        usable = checked(reading, plant.spec)
        assert isinstance(usable, Reading), usable
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

    def test_its_readings_are_there_at_the_ticks_of_the_wall_clock(self) -> None:
        """A plant that moves by itself is driven at absolute ticks, and commanded after the answer."""
        with self.plant() as plant:
            if not plant.spec.real_time:
                return
            late_s, dt = self._lateness(plant), plant.spec.control_dt
            usual = float(np.median(late_s))
            assert usual <= LATE_SHARE * dt, (
                f"exchange returned {usual * 1e3:.1f} ms after the tick that ends the control step of "
                f"{dt * 1e3:g} ms: it must return at once, or wait until an absolute time, never for a "
                "control step from the call on"
            )
            early = -usual > 0.5 * (1.0 - ANSWER_SHARE) * dt
            assert not early or reader(plant) is not None, (
                f"exchange returned {-usual * 1e3:.1f} ms before the tick that ends the control step: wait "
                "for the tick, or give the plant a method read() -> Reading, which is called then"
            )

    def test_it_can_be_closed_from_another_thread_while_a_call_is_under_way(self) -> None:
        """That is how a plant whose call hangs is left without torque."""
        plant = self.make()
        plant.reset()
        over = threading.Event()

        def drive() -> None:
            with contextlib.suppress(Exception):  # a closed plant may raise
                while not over.is_set():
                    plant.exchange(self._command(plant, self.gentle))

        driving = threading.Thread(target=drive, daemon=True)
        driving.start()
        driving.join(0.5 * plant.spec.control_dt)
        began = time.monotonic()
        plant.close()
        took = time.monotonic() - began
        over.set()
        driving.join(CLOSE_S + 10.0 * plant.spec.control_dt)
        assert took < CLOSE_S, f"close took {took:.2f} s; allowed are {CLOSE_S:g}"
        assert not driving.is_alive(), "a call that was under way never returned after close"

    def test_closing_it_twice_is_harmless(self) -> None:
        """Programs that end in a hurry do."""
        plant = self.make()
        plant.reset()
        plant.close()
        plant.close()

    def _lateness(self, plant: Plant) -> np.ndarray:
        """Return how long after each tick `exchange`, commanded as in a run, returned [s]."""
        plant.reset()
        start, dt, late = time.monotonic(), plant.spec.control_dt, []
        for k in range(TICKS):
            time.sleep(max(0.0, start + (k + ANSWER_SHARE) * dt - time.monotonic()))
            plant.exchange(self._command(plant, 0.0))
            late.append(time.monotonic() - (start + (k + 1) * dt))
        return np.array(late)

    def _command(self, plant: Plant, size: float) -> np.ndarray:
        return np.full(len(plant.spec.action_names), size, np.float32)
