"""Any Brax environment as a task: the environment brings physics and start states, the user a cost.

    env = brax.envs.get_environment("reacher", backend="generalized")
    TASK = brax_task(env, residual=lambda x, u: ..., episode_steps=50)

Notation
    x   state (q, qd)                                  [nq + nv]
    u   action in [-1, 1], scaled to the actuators     [m]
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from protos.control_step import same_step
from trainer.models.force import Force, SystemTransform, identity
from trainer.models.pipeline_model import PipelineModel, state_of
from trainer.models.quiet_import import without_warp_notice
from trainer.policy.features import FeatureSpec
from trainer.tasks.task import Task

with without_warp_notice():
    from brax.envs.base import Env, PipelineEnv

SINGLE = 2e-7
"""What a product in single precision is off by at most, relative."""
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
    reset: Callable[[jax.Array], jax.Array] | None = None,
    state_names: Sequence[str] = (),
    action_names: Sequence[str] = (),
    control_dt: float | None = None,
    learning: Mapping[str, Mapping[str, Any]] | None = None,
) -> Task:
    """Wrap `env`; its reward, which is not a sum of squares, plays no part.

    Attributes are those of `Task`. Unless given: nothing terminates; an episode succeeds if it does not
    terminate; learning explores from where episodes begin; features are the state with its
    velocities divided by 5, unlimited hinges as sine and cosine; episodes begin where the environment's do;
    states are called q0, q1, …, qd0, …, actions `actuator 0`, …. With a plant's names and control step the
    task fits it.

    Raises:
        TypeError: if `env` is not a `PipelineEnv`, a wrapper say; give its `unwrapped`.
        ValueError: if something terminates for free: steps cost at least nothing, so ending soon would pay;
            the environment cannot be stepped, or has no actuator; names of another number than states or
            actions, or a control step that is not the environment's.
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
    what = f"the environment {type(env).__name__}"
    _check_steps(env, what)
    dt = _control_dt(env, control_dt, what)
    names = _names(state_names, _state_names(env), f"states of {what}")
    actions = _names(action_names, [f"actuator {i}" for i in range(env.action_size)], f"actions of {what}")

    def draw(key: jax.Array) -> jax.Array:
        state = env.reset(key).pipeline_state
        assert state is not None, "a Brax environment with a pipeline resets it"
        return state_of(state)

    start = reset or draw
    never = lambda x: jnp.zeros((), bool)  # noqa: E731
    ended = never if terminated is None else terminated
    survived = lambda x: ~jnp.any(jax.vmap(ended)(x))  # noqa: E731

    def make(force: Force, substeps: int, system_transform: SystemTransform = identity) -> PipelineModel:
        del substeps  # the environment has its own
        return PipelineModel(env, force, system_transform)

    return Task(
        name=type(env).__name__.lower(),
        state_names=names,
        action_names=actions,
        control_dt=dt,
        episode_steps=episode_steps,
        features=features or _features(env),
        residual=residual,
        terminated=ended,
        reset=start,
        explore=explore or start,
        success=success or survived,
        model=make,
        failure=failure,
        has_success=success is not None,
        learning=learning or {},
    )


def _check_steps(env: PipelineEnv, what: str) -> None:
    """Check that the environment's physics can be stepped, without compiling anything.

    Raises:
        ValueError: naming what is not supported.
    """
    if getattr(env, "sys", None) is None:
        raise ValueError(f"{what} has no system of bodies and joints; a task needs its physics")
    if env.action_size < 1:
        raise ValueError(f"{what} has no actuator; nothing could be learned")
    fluid = any(bool(jnp.any(jnp.asarray(part) != 0.0)) for part in (env.sys.density, env.sys.viscosity))
    x = jax.ShapeDtypeStruct((env.sys.q_size() + env.sys.qd_size(),), jnp.float32)
    u = jax.ShapeDtypeStruct((env.action_size,), jnp.float32)
    try:
        jax.eval_shape(lambda x, u: PipelineModel(env)((), x, u), x, u)
    except Exception as error:  # whatever Brax comes up with
        why = "Brax cannot step a body in a fluid (density, viscosity): " if fluid else ""
        told = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(
            f"{what} is not supported: {why}its backend {env.backend!r} fails with "
            f"{type(error).__name__}: {told}"
        ) from error


def _control_dt(env: PipelineEnv, given: float | None, what: str) -> float:
    """Return the control step [s] in double precision: Brax's own is a product in single precision.

    Raises:
        ValueError: `given` is another one.
    """
    told = float(env.dt)
    short = float(f"{told:.6g}")
    own = short if abs(short - told) <= SINGLE * told else told
    if given is None:
        return own
    if not same_step(given, own):
        raise ValueError(
            f"{what} steps {own:g} s at a time (its time step times n_frames); got control_dt {given:g}"
        )
    return float(given)


def _names(given: Sequence[str], own: Sequence[str], what: str) -> tuple[str, ...]:
    if given and len(given) != len(own):
        raise ValueError(f"the {what} are {len(own)}: {', '.join(own)}; got {len(given)} names")
    return tuple(given or own)


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
