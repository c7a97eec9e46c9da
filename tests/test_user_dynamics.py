"""Dynamics models from users' files."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.manual import block
from trainer.compilation import ONCE, compiled
from trainer.dynamics.catalogue import known_name, load_dynamics
from trainer.dynamics.windows import Segment
from trainer.learning.trajectory import rollout
from trainer.tasks import load_task

PAGE = "docs/how-to/own-dynamics-model.md"
TASK = load_task("pendulum")
WRONG = """
class Empty:
    action_history = 0

class Unhashable:
    action_history, extrapolates, model, nominal_parameters = 0, True, None, None
    __hash__ = None

    def fit(self, *arguments):
        return None

class NoFit(Unhashable):
    __hash__ = object.__hash__
"""


@pytest.fixture
def manuals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "drag.py").write_text(block(PAGE, "class Drag:"))
    (tmp_path / "wrong.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    return "drag.py:Drag"


def recorded(drag: float, episodes: int) -> list[Segment]:
    """Return motion of the task's simulator with drag, under random actions."""
    model = TASK.model(lambda c, q, qd, u: -c * qd * jnp.abs(qd), 1)

    def episode(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        u = jnp.repeat(jax.random.uniform(key, (20, 1), minval=-1.0), 5, axis=0)
        found = rollout(model, jnp.full(TASK.joints, drag), lambda t, x: u[t], TASK.reset(key), len(u))
        return found.x, found.u

    x, u = compiled(jax.vmap(episode), ONCE)(jax.random.split(jax.random.key(0), episodes))
    return [Segment(np.asarray(x[k]), np.asarray(u[k])) for k in range(episodes)]


def test_the_manuals_dynamics_model_is_fitted_under_its_name(manuals: str) -> None:
    dynamics = load_dynamics(manuals)
    fit = dynamics.fit(TASK, recorded(0.02, 4), jax.random.key(0), lambda share: None)
    np.testing.assert_allclose(fit.members, [[0.02]], rtol=0.02)
    assert fit.errors[0.5].learned[0] < 0.1 * fit.errors[0.5].simulator[0]
    assert known_name(manuals) == dynamics.name == manuals
    assert load_dynamics(manuals) == dynamics, "compiled functions are found again"
    assert load_dynamics(f"{manuals}-ensemble").name == f"{manuals}-ensemble"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.py:A", "there is no file nowhere.py"),
        ("wrong.py:MISSING", "wrong.py defines no MISSING"),
        ("wrong.py:Empty", "Empty has no extrapolates, model, nominal_parameters, fit"),
        ("wrong.py:Unhashable", "Unhashable must be hashable, for example a frozen dataclass"),
        ("magic", "unknown dynamics model 'magic'; choose one of: friction, .* or FILE.py:NAME"),
    ],
)
def test_what_is_no_dynamics_model_is_refused_with_its_name(manuals: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dynamics(name)


def test_a_fit_of_another_kind_is_refused(manuals: str) -> None:
    with pytest.raises(ValueError, match="fit gives a NoneType, not a Fit"):
        load_dynamics("wrong.py:NoFit").fit(TASK, [], jax.random.key(0), lambda share: None)
