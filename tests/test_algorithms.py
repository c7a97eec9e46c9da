"""Learning algorithms by name, and from a user's file."""

import dataclasses
from pathlib import Path

import grpc
import jax
import numpy as np
import pytest

from protos.hds import v1
from tests.support.programs import Programs, asked
from tests.support.streams import Stream, eventually
from trainer.client import CallFailed, TrainerClient
from trainer.dynamics.catalogue import load_dynamics
from trainer.jobs.algorithms import load_algorithm
from trainer.jobs.learner import learner
from trainer.jobs.recipe import run
from trainer.jobs.request import JobRequest
from trainer.learning.configuration import configuration
from trainer.learning.hds import make_hds, make_pods
from trainer.tasks import load_task

SHAC = "tests/benchmarks/shac.py:SHAC"
WRONG = """
from trainer.learning.algorithm import Algorithm, Problem

NUMBER = 3

def nothing(problem):
    return None

def fails(problem):
    raise RuntimeError("out of ideas")
"""

GUESS = """
import jax.numpy as jnp
from trainer.learning.algorithm import Algorithm, EpochInfo


class Guess(Algorithm):
    def __init__(self, problem):
        self.problem = problem

    batch = steps = 1

    def init(self, key):
        return self.problem.policy.init(key)

    def step(self, state, theta, epoch, key):
        return self.problem.policy.init(key), EpochInfo({"guesses": jnp.asarray(epoch + 1.0)})

    def policy(self, state):
        return state
"""


def test_an_algorithm_of_a_users_file_trains_and_its_policy_is_served(
    programs: Programs, tmp_path: Path
) -> None:
    trainer, _, controller = programs.both()
    short = tmp_path / "short.toml"
    short.write_text("[training]\nepochs = 2\nevaluation_episodes = 8\n")
    words = ("--algorithm", SHAC, "--config", str(short), "--label", "stable", "--gate", "off")
    done = asked("train", *words, "--trainer", trainer)
    assert done.returncode == 0, done.stderr
    (policy,) = TrainerClient(trainer).policies()
    assert policy.metrics["training_cost_per_step"] > 0.0
    shown = asked("policies", "stable", "--config", "--trainer", trainer)
    assert f"--algorithm {SHAC}" in shown.stdout
    assert "\nepochs = 2\n" in shown.stdout
    stub = v1.PolicyServiceStub(grpc.insecure_channel(controller))
    eventually(lambda: stub.Describe(v1.DescribeRequest()).policy.version == policy.version)
    stream = Stream(stub)
    assert stream.observe(0, np.zeros(4, np.float32)).action.policy_version == policy.version
    stream.close()


def test_an_algorithm_without_networks_of_its_own_is_published_and_can_be_refitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("guess.py").write_text(GUESS)
    config = "[training]\nepochs = 1\nrounds = 1\nevaluation_episodes = 8\n"
    request = JobRequest(
        False, "cartpole_swingup", 0, 0, "", None, "", "", tmp_path, algorithm="guess.py:Guess", config=config
    )
    first = run(request, lambda progress: None)
    again = run(dataclasses.replace(request, parent=first.version), lambda progress: None)
    assert again.parent == first.version
    assert first.metrics["guesses"] == 1.0
    with pytest.raises(ValueError, match="has other networks than this algorithm trains"):
        run(dataclasses.replace(request, parent=first.version, algorithm="hds"), lambda progress: None)


def test_pods_is_hds_without_noise_annealing_and_exploring_starts() -> None:
    parts = learner(load_task("cartpole_swingup"), load_dynamics(""))
    problem = parts.problem(configuration({}))
    hds, pods = make_hds(problem), make_pods(problem)
    lengths = [set(map(int, one.pods.starts(64, jax.random.key(0)).left)) for one in (hds, pods)]
    assert lengths == [{64, parts.task.episode_steps}, {parts.task.episode_steps}]
    assert load_algorithm("") is make_hds
    assert load_algorithm("pods") is make_pods


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ppo", "unknown algorithm 'ppo'; choose one of: hds, pods, or give FILE.py:NAME"),
        ("nowhere.py:A", "there is no file nowhere.py"),
        ("/etc/hosts:A", "algorithms are loaded from files beneath"),
        ("wrong.py:MISSING", "wrong.py defines no MISSING"),
        ("wrong.py:NUMBER", "NUMBER must be callable with a Problem; got 3"),
        ("wrong.py:nothing", "nothing gives a NoneType, not an Algorithm"),
        ("wrong.py:fails", "fails fails with RuntimeError: out of ideas"),
    ],
)
def test_what_is_no_algorithm_is_refused_with_its_name(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.py").write_text(WRONG)
    problem = learner(load_task("cartpole_swingup"), load_dynamics("")).problem(configuration({}))
    with pytest.raises(ValueError, match=message):
        load_algorithm(name)(problem)


def test_a_trainer_refuses_a_wrong_configuration_or_algorithm_at_once(programs: Programs) -> None:
    _, address = programs.trainer()
    client = TrainerClient(address)
    for options, message in (
        (v1.TrainingOptions(task="cartpole_swingup", config="[pods]\nbach = 1"), "there is no pods.bach"),
        (v1.TrainingOptions(task="cartpole_swingup", algorithm="ppo"), "unknown algorithm 'ppo'"),
    ):
        with pytest.raises(CallFailed, match=message):
            client.start_training(options)
    assert client.jobs() == []
