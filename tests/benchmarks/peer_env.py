"""Our task as a Brax environment: its own learners meet the same model, starts, cost and success."""

from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from trainer.models.model import Model
from trainer.tasks import cartpole_swingup
from trainer.tasks.task import Task


class TaskEnv(Env):
    """Observations are the features our policies see, the reward is minus the cost of a step.

    The metric `success`, summed over an episode, is 1 if the episode succeeds.
    """

    def __init__(self, task: Task, model: Model) -> None:
        self._task = task
        self._model = model

    def reset(self, rng: jax.Array) -> State:
        """Draw a start state."""
        x, zero = self._task.reset(rng), jnp.zeros(())
        info: dict[str, Any] = {"t": jnp.zeros((), jnp.int32), "upright": zero}
        state: Any = x  # a Brax environment carries a pipeline state; ours is x itself
        return State(state, self._task.features(x), zero, zero, {"success": zero}, info)

    def step(self, state: State, action: jax.Array) -> State:
        """Advance by one control step."""
        x, u = state.pipeline_state, jnp.clip(action, -1.0, 1.0)
        assert isinstance(x, jax.Array)
        reward = -0.5 * jnp.sum(self._task.residual(x, u) ** 2)
        x = self._model(None, x, u)
        t = state.info["t"] + 1
        judged = t > self._task.episode_steps - cartpole_swingup.JUDGED_STEPS
        upright = state.info["upright"] + judged * (jnp.cos(x[1]) > cartpole_swingup.UPRIGHT)
        ends = t == self._task.episode_steps
        success = (ends & (upright >= 0.9 * cartpole_swingup.JUDGED_STEPS)).astype(jnp.float32)
        info = {**state.info, "t": t, "upright": upright}
        return state.replace(  # pyright: ignore[reportAttributeAccessIssue]
            pipeline_state=x,
            obs=self._task.features(x),
            reward=reward,
            metrics={**state.metrics, "success": success},
            info=info,
        )

    @property
    def observation_size(self) -> int:
        """Number of features."""
        return self._task.features.size

    @property
    def action_size(self) -> int:
        """Number of actions."""
        return len(self._task.action_names)

    @property
    def backend(self) -> str:
        """Name of the physics; ours is integrated by Runge-Kutta."""
        return "rk4"
