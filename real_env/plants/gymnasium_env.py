"""Any Gymnasium environment with box spaces as a plant.

The state is the observation; an action of -1 to 1 is scaled to the box of actions. Rewards and Gymnasium's
own time limit are left aside: the trainer scores, and the loop owns the clock.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from real_env.plant import PlantSpec, Reading


class GymnasiumPlant:
    """The environment that Gymnasium knows by `identity`, e.g. InvertedPendulum-v5."""

    def __init__(self, identity: str, seed: int) -> None:
        """Make the environment.

        Raises:
            ValueError: there is none of that name, a space is no bounded box, or its time step is not told.
        """
        name = f"gymnasium:{identity}"
        try:
            self._env = gymnasium.make(identity, max_episode_steps=-1, disable_env_checker=True)
        except gymnasium.error.Error as error:
            raise ValueError(f"plant {name!r}: {error}") from error
        states, actions = self._env.observation_space, self._env.action_space
        if not isinstance(states, Box):
            raise ValueError(f"plant {name!r}: its observations are {states}; a box is needed")
        if not isinstance(actions, Box) or not actions.is_bounded():
            raise ValueError(f"plant {name!r}: its actions are {actions}; a bounded box is needed")
        self._low, self._high = actions.low.ravel(), actions.high.ravel()
        self._shape, self._dtype = actions.shape, actions.dtype
        self._seed: int | None = seed
        self._last = Reading(np.zeros(int(np.prod(states.shape)), np.float32), True)
        self.spec = PlantSpec(
            name=name,
            state_names=tuple(f"observation {i}" for i in range(len(self._last.x))),
            action_names=tuple(f"action {i}" for i in range(len(self._low))),
            control_dt=self._control_dt(name),
            parameters={},
            real_time=False,
        )

    def reset(self) -> Reading:
        """Reset the environment; the first time with the seed."""
        observation, _ = self._env.reset(seed=self._seed)
        self._seed = None
        self._last = self._reading(observation, False)
        return self._last

    def exchange(self, command: np.ndarray) -> Reading:
        """Take one step; after the end of an episode nothing moves until the next reset.

        Raises:
            Diverged: the environment is one of MuJoCo's, which found numbers that are too large.
        """
        if self._last.terminated:
            return self._last
        share = 0.5 * (np.asarray(command, float) + 1.0)
        action = (self._low + share * (self._high - self._low)).reshape(self._shape).astype(self._dtype)
        observation, _, terminated, _, _ = self._env.step(action)
        if (data := getattr(self._env.unwrapped, "data", None)) is not None and hasattr(data, "warning"):
            from real_env.plants.mujoco_model import check_converged

            check_converged(data)
        self._last = self._reading(observation, bool(terminated))
        return self._last

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    @staticmethod
    def _reading(observation: np.ndarray, terminated: bool) -> Reading:
        return Reading(np.array(observation, np.float32).ravel(), terminated)

    def _control_dt(self, name: str) -> float:
        """Return the time of one step [s], as the environment tells it."""
        inner = self._env.unwrapped
        dt = getattr(inner, "dt", None) or getattr(inner, "tau", None)
        rate = inner.metadata.get("render_fps")
        if dt is not None:
            return float(dt)
        if not rate:
            raise ValueError(
                f"plant {name!r} tells neither dt, tau nor render_fps, so its time step is unknown"
            )
        return 1.0 / float(rate)
