"""The controller as a process, following a real trainer."""

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from protos.hds import v1
from tests.support.programs import Programs, free_port, ready
from tests.support.published import SPEC, TASK, parameters, publish_policy
from tests.support.streams import PLANT, Stream, eventually, move, served
from trainer.policy.network import PolicySpec
from trainer.tasks.action_history import with_action_history


def two_published(programs: Programs) -> tuple:
    """Start a trainer with versions (a, b), and a controller that serves a."""
    b, a = (publish_policy(programs.root / "trainer", seed) for seed in (2, 1))
    trainer, _, address = programs.both()
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, a))
    return stub, trainer, a, b


@pytest.fixture
def two_versions(programs: Programs) -> tuple:
    """A trainer with versions (a, b), and a controller that serves a."""
    return two_published(programs)


@pytest.fixture(scope="module")
def asked_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """The same, shared by tests that move no label and change no file."""
    programs = Programs(tmp_path_factory.mktemp("asked-only"))
    try:
        yield *two_published(programs), programs
    finally:
        programs.close()


def test_served_actions_are_the_trained_policys_bit_for_bit(asked_only: tuple) -> None:
    stub, _, a, *_ = asked_only
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    apply = jax.jit(SPEC.apply)
    batch = stub.Act(
        v1.ActRequest(observations=[v1.Observation(sequence=i, x=row) for i, row in enumerate(x)])
    )
    np.testing.assert_array_equal([action.u for action in batch.actions], apply(parameters(1), x))
    assert [action.sequence for action in batch.actions] == list(range(8))
    stream = Stream(stub)
    assert stream.greeting.welcome.policy.version == a
    for i, row in enumerate(x):
        action = stream.observe(i, row).action
        np.testing.assert_array_equal(action.u, apply(parameters(1), row[None])[0])
        assert (action.sequence, action.policy_version) == (i, a)
    stream.close()


def test_a_bad_observation_is_answered_in_band_and_the_stream_goes_on(asked_only: tuple) -> None:
    stream = Stream(asked_only[0])
    error = stream.observe(1, np.array([0.0, np.nan, 0.0, 0.0])).error
    assert error.code == v1.ERROR_CODE_BAD_OBSERVATION
    assert error.sequence == 1
    assert "pole [rad] is nan" in error.message
    assert "5 numbers; the policy needs 4" in stream.observe(2, np.zeros(5)).error.message
    assert stream.observe(3, np.zeros(4)).action.sequence == 3
    second_hello = stream.send(v1.ControlRequest(hello=v1.Hello(plant=PLANT)))
    assert second_hello.error.code == v1.ERROR_CODE_OUT_OF_ORDER
    assert stream.observe(4, np.zeros(4)).action.sequence == 4
    stream.close()


def test_a_policy_that_remembers_sees_the_action_applied_last(
    programs: Programs, publish: Callable[..., str]
) -> None:
    spec = PolicySpec(with_action_history(TASK, 1).features, (64, 64), 1)
    version = publish(seed=5, spec=spec)
    address = programs.both()[-1]
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, version))
    stream, apply, x = Stream(stub), jax.jit(spec.apply), np.full(4, 0.3, np.float32)
    for sequence, last in enumerate([(), (0.0,), (-0.7,)]):
        observation = v1.Observation(sequence=sequence, x=x, u_last=last)
        action = stream.send(v1.ControlRequest(observation=observation)).action
        z = np.append(x, last or 0.0).astype(np.float32)
        np.testing.assert_array_equal(action.u, apply(parameters(5, spec), z[None])[0])
    wrong = stream.send(v1.ControlRequest(observation=v1.Observation(sequence=9, x=x, u_last=(2.0,))))
    assert "u_last must be empty or 1 numbers in [-1, 1]; got [2.0]" in wrong.error.message
    stream.close()


def test_a_plant_that_does_not_fit_is_told_what_would(asked_only: tuple) -> None:
    other = v1.PlantSpec(name="arm", state_names=["a"], action_names=["b"], control_dt_s=0.04)
    stream = Stream(asked_only[0], other)
    assert stream.greeting.error.code == v1.ERROR_CODE_SPEC_MISMATCH
    assert "its states are ('a',), the policy's ('cart [m]'" in stream.greeting.error.message
    assert stream.observe(0, np.zeros(4)).error.code == v1.ERROR_CODE_OUT_OF_ORDER
    stream.close()


def test_a_stream_for_another_task_is_refused_and_one_that_names_none_is_warned_of(asked_only: tuple) -> None:
    """States, actions and control step may be the same, and the policy still that of another task."""
    stub, *_, programs = asked_only
    other = Stream(stub, task="cartpole_balance")
    assert other.greeting.error.code == v1.ERROR_CODE_WRONG_TASK
    assert "is of task 'cartpole_swingup', and the plant is driven for task" in other.greeting.error.message
    other.close()
    nameless = Stream(stub, task="")
    assert nameless.greeting.welcome.policy.task == TASK.name
    assert nameless.greeting.welcome.policy.episode_steps == TASK.episode_steps
    nameless.close()
    eventually(
        lambda: "names no task; it is driven by cartpole_swingup's policy" in programs.said("controller")
    )


def test_a_label_of_several_tasks_is_followed_for_the_one_that_is_named(
    programs: Programs, publish: Callable[..., str]
) -> None:
    swing, balance = publish(seed=1), publish(seed=1, task="cartpole_balance")
    _, trainer = programs.trainer()
    undecided, _ = programs.controller(trainer)
    assert undecided.process.wait(60.0) == 2
    said = (
        "label 'stable' is set for several tasks: cartpole_balance, cartpole_swingup; choose one with --task"
    )
    assert said in programs.said("controller")
    stub = v1.PolicyServiceStub(ready(programs.controller(trainer, task="cartpole_balance")[1]))
    eventually(lambda: served(stub, balance))
    move(trainer, swing)
    move(trainer, balance)
    assert served(stub, balance)


def test_a_label_that_a_second_task_gets_stays_that_of_the_first_for_who_follows_it(
    programs: Programs, publish: Callable[..., str]
) -> None:
    other = publish(seed=2, task="cartpole_balance", label="other")
    swing = publish(seed=1)
    trainer, _, address = programs.both()
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, swing))
    move(trainer, other)
    stream = Stream(stub)
    assert stream.observe(0, np.zeros(4)).action.policy_version == swing
    stream.close()


def test_a_policy_is_swapped_between_two_ticks_of_a_live_stream(two_versions: tuple) -> None:
    stub, trainer, a, b = two_versions
    stream, x = Stream(stub), np.array([0.1, 2.0, 0.3, -1.0], np.float32)
    expected = {v: jax.jit(SPEC.apply)(parameters(s), x[None])[0] for v, s in ((a, 1), (b, 2))}
    versions = []
    for tick in range(100_000):
        action = stream.observe(tick, x).action
        assert action.sequence == tick
        np.testing.assert_array_equal(action.u, expected[action.policy_version])
        versions.append(action.policy_version)
        if tick == 20:
            move(trainer, b)
        if versions[-20:] == [b] * 20:
            break
    changes = sum(early != late for early, late in itertools.pairwise(versions))
    assert (versions[0], versions[-1], changes) == (a, b, 1)
    stream.close()


def test_a_flipped_bit_in_any_file_is_never_served_and_the_old_policy_stays(
    two_versions: tuple, tmp_path: Path
) -> None:
    stub, trainer, a, b = two_versions
    checkpoint = tmp_path / "trainer" / "checkpoints" / b
    describe = lambda: stub.Describe(v1.DescribeRequest())  # noqa: E731
    files = [path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size > 0]
    assert len(files) > 10
    restore = lambda: None  # noqa: E731
    for target in files:
        name, intact = target.relative_to(checkpoint).as_posix(), target.read_bytes()
        damaged = bytearray(intact)
        damaged[len(damaged) // 2] ^= 1
        target.write_bytes(damaged)
        restore()  # the file before, only now: the controller tries by itself, and must meet no whole copy
        move(trainer, b)
        eventually(lambda name=name: f"/{name} is damaged" in describe().refusal)
        assert (describe().policy.version, describe().refused_version) == (a, b)
        restore = functools.partial(target.write_bytes, intact)
        move(trainer, a)
    restore()
    move(trainer, b)
    eventually(lambda: served(stub, b))


def test_a_policy_with_actions_that_are_not_finite_is_never_served(
    programs: Programs, publish: Callable[..., str]
) -> None:
    tree = jax.tree.map(np.asarray, parameters(3))
    tree["params"]["Dense_2"]["bias"] = np.full(1, np.nan, np.float32)
    bad = publish(tree=tree)
    address = programs.both()[-1]
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: stub.Describe(v1.DescribeRequest()).refused_version == bad)
    answer = stub.Describe(v1.DescribeRequest())
    assert not answer.ready
    assert "not in [-1, 1]" in answer.refusal
    assert bad[:12] in Stream(stub).greeting.error.message


def test_it_starts_from_its_last_good_policy_without_a_trainer(
    programs: Programs, publish: Callable[..., str]
) -> None:
    version = publish(seed=1)
    trainer_program, trainer = programs.trainer()
    program, address = programs.controller(trainer)
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, version))
    program.end()
    trainer_program.end()
    _, address = programs.controller(trainer)
    again = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(again, version))


def test_it_may_start_before_the_trainer(programs: Programs, publish: Callable[..., str]) -> None:
    version, port = publish(seed=1), free_port()
    _, address = programs.controller(f"127.0.0.1:{port}")
    stub = v1.PolicyServiceStub(ready(address))
    answer = stub.Describe(v1.DescribeRequest())
    assert not answer.ready
    assert "no policy is loaded yet; label 'stable' is awaited" in Stream(stub).greeting.error.message
    programs.trainer(str(port))
    eventually(lambda: served(stub, version))
