"""Whether a policy stays where its dynamics have data: a network alone knows nothing elsewhere.

Notation
    z   features of a state, in units of their deviation over the data    [f]
"""

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.windows import Segment
from trainer.jobs.learner import Learner
from trainer.learning.trajectory import rollout
from trainer.models.model import Theta
from trainer.policy.network import Parameters

NEAR = 1.0
"""A state is near the data if each feature of some recorded state is within so many deviations."""
EPISODES, MOST = 16, 1500
"""Of the policy in its model; states compared on either side."""


def share_outside(
    parts: Learner, policy: Parameters, models: Theta, segments: list[Segment], key: jax.Array
) -> float:
    """Return the share of the policy's steps in its models that are not near any recorded state."""
    task, features = parts.learned_task, parts.task.features
    n = len(parts.task.state_names)

    def episode(theta: Theta, key: jax.Array) -> jax.Array:
        law = lambda t, x: parts.policy.apply(policy, x)  # noqa: E731
        return rollout(parts.model, theta, law, task.reset(key), task.episode_steps).x[:, :n]

    some = jax.tree.map(lambda leaf: leaf[:EPISODES], models)
    visited = np.asarray(jax.jit(jax.vmap(episode))(some, jax.random.split(key, EPISODES))).reshape(-1, n)
    known = np.concatenate([segment.x[:, :n] for segment in segments])
    seen, data = (np.asarray(features(jnp.asarray(_spread(x)))) for x in (visited, known))
    scale = np.maximum(np.std(data, axis=0), 1e-6)
    nearest = [np.min(np.max(np.abs(data - one) / scale, axis=1)) for one in seen]
    return float(np.mean(~(np.array(nearest) <= NEAR)))


def _spread(x: np.ndarray) -> np.ndarray:
    return x[np.unique(np.linspace(0, len(x) - 1, MOST).round().astype(int))]
