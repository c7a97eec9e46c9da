import jax
import numpy as np

from trainer.dynamics.catalogue import load_dynamics
from trainer.jobs.learner import learner
from trainer.jobs.recipe import Training
from trainer.jobs.request import Progress
from trainer.learning.configuration import configuration
from trainer.learning.hds import make_hds
from trainer.tasks import load_task


def test_a_training_that_has_not_succeeded_goes_on_from_its_best_policy() -> None:
    parts, told, metrics = learner(load_task("cartpole_swingup"), load_dynamics("")), [], {}

    def report(progress: Progress) -> None:
        told.append(progress.phase)

    def training(rounds: int) -> Training:
        config = configuration({"training": {"epochs": 2, "rounds": rounds}})
        return Training(parts, make_hds(parts.problem(config)), config.training)

    key = jax.random.key(0)
    one = training(1).run(None, 0.0, key, None, lambda progress: None, {})
    two = training(2).run(None, 0.0, key, None, report, metrics)
    assert one.success < 0.95, "two epochs are not enough"
    assert not np.array_equal(*(jax.tree.leaves(best.state.policy)[1] for best in (one, two)))
    assert metrics["training_rounds"] == 2
    assert [phase for phase in told if phase.startswith("training on, success is 0.")]
