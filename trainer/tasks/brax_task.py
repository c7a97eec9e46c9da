"""Any Brax environment as a task: the environment brings physics and start states, the user a cost.

    env = brax.envs.get_environment("reacher", backend="generalized")
    TASK = brax_task(env, residual=lambda x, u: ..., episode_steps=50)

Notation
    x   state (q, qd)                                  [nq + nv]
    u   action in [-1, 1], scaled to the actuators     [m]
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from trainer.models.force import Arrange, Force, as_it_is
from trainer.models.pipeline_model import PipelineModel, state_of
from trainer.models.quiet_import import without_warp_notice
from trainer.policy.features import FeatureSpec
from trainer.tasks.task import Task

with without_warp_notice():
    from brax.envs.base import Env, PipelineEnv

TYPICAL_SPEED = 5.0
"""What velocities are divided by to become features."""


def brax_task(
    env: Env,
    residual: Callable[[jax.Array, jax.Array], jax.Array],
    episode_steps: int,
    terminated: Callable[[jax.Array], jax.Array] | None = None,
    success: Callable[[jax.Array], jax.Array] | None = None,
    explore: Callable[[jax.Array], jax.Array] | None = None,
    features: FeatureSpec | None = None,
    failure: float = 0.0,
) -> Task:
    """Wrap `env`; its reward, which is not a sum of squares, plays no part.

    Attributes are those of `Task`. Unless given: nothing terminates; an episode succeeds if it does not
    terminate; learning explores from where episodes begin; features are the state with its
    velocities divided by 5, unlimited hinges as sine and cosine.

    Raises:
        TypeError: if `env` is not a `PipelineEnv`, a wrapper say; give its `unwrapped`.
        ValueError: if something terminates for free: steps cost at least nothing, so ending soon would pay.
    """
    if terminated is not None and not failure > 0.0:
        raise ValueError(
            "with `terminated`, `failure` must be above 0, more than any way of going on costs; "
            f"got {failure:g}"
        )
    if not isinstance(env, PipelineEnv):
        raise TypeError(
            f"a Brax PipelineEnv is needed, with a system and a pipeline; got {type(env).__name__}"
        )

    def reset(key: jax.Array) -> jax.Array:
        state = env.reset(key).pipeline_state
        assert state is not None, "a Brax environment with a pipeline resets it"
        return state_of(state)

    never = lambda x: jnp.zeros((), bool)  # noqa: E731
    ended = never if terminated is None else terminated
    survived = lambda x: ~jnp.any(jax.vmap(ended)(x))  # noqa: E731

    def make(force: Force, substeps: int, arrange: Arrange = as_it_is) -> PipelineModel:
        del substeps  # the environment has its own
        return PipelineModel(env, force, arrange)

    return Task(
        name=type(env).__name__.lower(),
        state_names=_state_names(env),
        action_names=tuple(f"actuator {i}" for i in range(env.action_size)),
        control_dt=float(env.dt),
        episode_steps=episode_steps,
        features=features or _features(env),
        residual=residual,
        terminated=ended,
        reset=reset,
        explore=explore or reset,
        success=success or survived,
        model=make,
        failure=failure,
        has_success=success is not None,
    )


def _state_names(env: PipelineEnv) -> tuple[str, ...]:
    positions = [f"q{i}" for i in range(env.sys.q_size())]
    velocities = [f"qd{i}" for i in range(env.sys.qd_size())]
    return (*positions, *velocities)


def _features(env: PipelineEnv) -> FeatureSpec:
    size, positions = env.sys.q_size() + env.sys.qd_size(), env.sys.q_size()
    angles = _unlimited_hinges(env) if positions == env.sys.qd_size() else ()
    return FeatureSpec(size, angles, (1.0,) * positions + (TYPICAL_SPEED,) * env.sys.qd_size())


def _unlimited_hinges(env: PipelineEnv) -> tuple[int, ...]:
    """Return the joints that may turn all the way round: their motion has an angular axis and no limit."""
    dof = env.sys.dof
    turns = jnp.any(dof.motion.ang != 0.0, axis=-1)
    if dof.limit is not None:
        low, high = dof.limit
        turns &= ~(jnp.isfinite(low) & jnp.isfinite(high))
    return tuple(int(i) for i in jnp.flatnonzero(turns))
