"""What an operator does with a running controller: pin, shadow, roll back, watch, drain."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import jax
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.hds import v1
from tests.support.programs import START_S, STILL, Programs, free_port, ready, run
from tests.support.published import SPEC, parameters, publish_policy
from tests.support.streams import PLANT, Stream, eventually, move, served

X = np.array([0.1, 2.0, 0.3, -1.0], np.float32)


def answers(seed: int) -> np.ndarray:
    return np.asarray(jax.jit(SPEC.apply)(parameters(seed), X[None])[0])


def two_published(programs: Programs) -> tuple:
    """Start a trainer with versions (a, b) of seeds (1, 2); a controller serves a and tells metrics."""
    b, a = (publish_policy(programs.root / "trainer", seed) for seed in (2, 1))
    metrics = free_port()
    trainer, program, address = programs.both(metrics_port=metrics)
    channel = ready(address)
    eventually(lambda: served(v1.PolicyServiceStub(channel), a))
    return channel, trainer, a, b, program, metrics


@pytest.fixture
def two_versions(programs: Programs) -> tuple:
    """A trainer with versions (a, b) of seeds (1, 2), and a controller that serves a and tells metrics."""
    return two_published(programs)


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """The same, and the directory above the controller's."""
    programs = Programs(tmp_path_factory.mktemp("long-lived"))
    try:
        yield *two_published(programs), programs.root
    finally:
        programs.close()


@pytest.fixture
def serves_a(long_lived: tuple) -> tuple:
    """The same, shared by tests that leave nothing but the label elsewhere; it is back where it was."""
    channel, trainer, a, *_ = long_lived
    move(trainer, a)
    eventually(lambda: served(v1.PolicyServiceStub(channel), a))
    return long_lived


def test_a_pinned_stream_keeps_its_version_while_others_follow_the_label(serves_a: tuple) -> None:
    channel, trainer, a, b, *_ = serves_a
    stub = v1.PolicyServiceStub(channel)
    free, pinned = Stream(stub), Stream(stub, pin=b)
    assert pinned.greeting.welcome.policy.version == b
    assert (free.observe(0, X).action.policy_version, pinned.observe(0, X).action.policy_version) == (a, b)
    np.testing.assert_allclose(pinned.observe(1, X).action.u, answers(2), atol=1e-6)
    move(trainer, b)
    eventually(lambda: served(stub, b))
    back = Stream(stub, pin=a)
    assert [s.observe(2, X).action.policy_version for s in (free, pinned, back)] == [b, b, a]
    for name in (a[:10], "stable", b[:10]):
        named = Stream(stub, pin=name).greeting.welcome.policy.version
        assert named == (a if name == a[:10] else b), "first digits and labels do"
    unknown = Stream(stub, pin="0" * 64).greeting.error
    assert unknown.code == v1.ERROR_CODE_NO_SUCH_VERSION
    assert "000000000000" in unknown.message


@pytest.mark.parametrize("name", ["../victim", ".", "{root}/victim", "A" * 64])
def test_what_is_no_version_names_no_path(serves_a: tuple, name: str) -> None:
    channel, *_, root = serves_a
    victim = root / "victim" / "precious"
    victim.parent.mkdir(exist_ok=True)
    victim.touch()
    error = Stream(v1.PolicyServiceStub(channel), pin=name.format(root=root)).greeting.error
    assert error.code == v1.ERROR_CODE_NO_SUCH_VERSION
    assert "is no version of a policy" in error.message
    with pytest.raises(grpc.RpcError, match="is no version of a policy"):
        v1.PolicyAdminServiceStub(channel).SetShadow(v1.SetShadowRequest(version=name.format(root=root)))
    assert victim.exists()
    assert (root / "controller" / "last-good").exists()


def test_a_controller_that_can_remember_nothing_serves_on(two_versions: tuple, tmp_path: Path) -> None:
    channel, trainer, _, b, program, _ = two_versions
    stub, admin = v1.PolicyServiceStub(channel), v1.PolicyAdminServiceStub(channel)
    for name in (".last-good", ".rolled-back"):
        (tmp_path / "controller" / name).mkdir()  # where a file would be written
    move(trainer, b)
    eventually(lambda: served(stub, b))
    answer = admin.RollBack(v1.RollBackRequest(expected_version=b[:8]))
    assert answer.left_version == b
    assert Stream(stub).observe(0, X).action.policy_version == answer.version
    assert program.process.poll() is None


def test_a_call_with_too_many_observations_is_refused_with_the_bound(serves_a: tuple) -> None:
    channel, *_ = serves_a
    stub = v1.PolicyServiceStub(channel)
    observation = v1.Observation(x=X)
    assert len(stub.Act(v1.ActRequest(observations=[observation] * 256)).actions) == 256
    with pytest.raises(grpc.RpcError, match="257 observations came in one call; the most is 256"):
        stub.Act(v1.ActRequest(observations=[observation] * 257))


def test_a_roll_back_is_one_call_and_lasts_until_the_label_moves(
    two_versions: tuple, programs: Programs
) -> None:
    channel, trainer, a, b, program, _ = two_versions
    stub, admin = v1.PolicyServiceStub(channel), v1.PolicyAdminServiceStub(channel)
    with pytest.raises(grpc.RpcError) as nothing:
        admin.RollBack(v1.RollBackRequest())
    assert nothing.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    move(trainer, b)
    eventually(lambda: served(stub, b))
    stream = Stream(stub)
    with pytest.raises(grpc.RpcError, match="is current, not"):
        admin.RollBack(v1.RollBackRequest(expected_version=a))
    answer = admin.RollBack(v1.RollBackRequest(expected_version=b))
    assert (answer.left_version, answer.version) == (b, a)
    assert stream.observe(0, X).action.policy_version == a
    program.end()
    _, address = programs.controller(trainer)
    again = v1.PolicyServiceStub(ready(address))
    eventually(lambda: again.Describe(v1.DescribeRequest()).refused_version == b)
    described = again.Describe(v1.DescribeRequest())
    assert described.policy.version == a
    assert "rolled back" in described.refusal
    move(trainer, a)
    move(trainer, b)
    eventually(lambda: served(again, b))


def test_a_shadow_computes_on_live_observations_and_is_never_applied(serves_a: tuple) -> None:
    channel, _, a, b, *_, root = serves_a
    stub, admin = v1.PolicyServiceStub(channel), v1.PolicyAdminServiceStub(channel)
    admin.SetShadow(v1.SetShadowRequest(version=b))
    stream = Stream(stub)
    for tick in range(20):
        action = stream.observe(tick, X).action
        assert action.policy_version == a
        np.testing.assert_array_equal(action.u, answers(1))
    shadow = lambda: stub.Describe(v1.DescribeRequest()).shadow  # noqa: E731
    eventually(lambda: shadow().compared == 20)
    expected = float(np.abs(answers(1) - answers(2))[0])
    assert shadow().largest_difference == pytest.approx(expected, rel=1e-4)
    lines = (root / "controller" / "shadow.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert (len(lines), first["version"], first["shadow"], first["client"]) == (20, a, b, "test")
    np.testing.assert_allclose(first["u_shadow"], answers(2), atol=1e-6)
    admin.SetShadow(v1.SetShadowRequest())
    assert not stub.Describe(v1.DescribeRequest()).HasField("shadow")


def test_many_streams_are_answered_as_each_alone_would_be_and_some_in_batches(serves_a: tuple) -> None:
    channel, _, a, _, _, metrics, _ = serves_a
    states = np.random.default_rng(0).normal(size=(16, 200, 4)).astype(np.float32)
    expected = jax.jit(SPEC.apply)(parameters(1), states.reshape(-1, 4)).reshape(16, 200)
    streams = [Stream(v1.PolicyServiceStub(channel)) for _ in states]
    before = scrape(metrics)
    together = threading.Barrier(len(streams))

    def drive(index: int) -> list[float]:
        together.wait()
        found = []
        for tick, x in enumerate(states[index]):
            action = streams[index].observe(tick, x).action
            assert (action.sequence, action.policy_version) == (tick, a)
            found.append(action.u[0])
        return found

    with ThreadPoolExecutor(len(streams)) as threads:
        found = np.array(list(threads.map(drive, range(len(streams)))))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    counted = since(before, scrape(metrics))
    assert counted[f'hds_actions_total{{version="{a[:12]}"}}'] == 16 * 200
    assert counted["hds_batch_size_count"] < 16 * 200


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


def test_metrics_tell_swaps_fallbacks_and_open_streams(serves_a: tuple) -> None:
    channel, trainer, a, b, _, port, _ = serves_a
    stub = v1.PolicyServiceStub(channel)
    eventually(lambda: scrape(port)["hds_streams"] == 0)
    before, stream = scrape(port), Stream(stub)
    for sequence, in_row in enumerate((0, 2, 3, 0, 0, 1)):  # 3 ticks in a row, then 1
        observation = v1.Observation(sequence=sequence, x=X, fallbacks=in_row)
        stream.send(v1.ControlRequest(observation=observation))
    move(trainer, b)
    eventually(lambda: served(stub, b))
    told = since(before, scrape(port))
    assert told["hds_streams"] == 1
    assert told[f'hds_swaps_total{{version="{b[:12]}"}}'] == 1
    assert told[f'hds_fallbacks_total{{version="{a[:12]}"}}'] == 4
    for stage in ("decode", "compute", "total"):
        assert told[f'hds_answer_seconds_count{{stage="{stage}",version="{a[:12]}"}}'] == 6


def test_health_is_serving_only_with_a_warm_policy_and_ends_with_sigterm(
    programs: Programs, publish: Callable[..., str]
) -> None:
    version, port = publish(seed=1), free_port()
    program, address = programs.controller(f"127.0.0.1:{port}", grace=5.0)
    channel = ready(address)
    status = health_pb2.HealthCheckResponse
    watch = health_pb2_grpc.HealthStub(channel).Watch  # pyright: ignore[reportAttributeAccessIssue]
    watching = watch(health_pb2.HealthCheckRequest(service="hds.v1.PolicyService"))
    assert next(watching).status in {status.NOT_SERVING, status.SERVICE_UNKNOWN}
    assert not v1.PolicyServiceStub(channel).Describe(v1.DescribeRequest()).ready
    programs.trainer(str(port))
    assert any(told.status == status.SERVING for told in watching)
    assert served(v1.PolicyServiceStub(channel), version)
    stream = Stream(v1.PolicyServiceStub(channel))
    program.process.send_signal(signal.SIGTERM)
    assert next(watching).status == status.NOT_SERVING
    assert stream.observe(7, X).action.sequence == 7, "an open stream is answered while the server drains"
    assert program.process.wait(START_S) == 0


def test_how_sockets_are_read_is_chosen_before_grpc_is_imported() -> None:
    code = (
        "import sys; from controller import grpc_polling;"
        "grpc_polling.choose = lambda: print('grpc' in sys.modules); import controller.__main__;"
        "print('grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system keeps no thread on a core")
def test_the_event_loop_stays_on_its_core_and_what_works_beside_it_may_use_all(
    programs: Programs, publish: Callable[..., str]
) -> None:
    b, a, cores = publish(seed=2), publish(seed=1), os.sched_getaffinity(0)
    trainer, program, address = programs.both(cpu=max(cores))
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, a))
    stream, ticks = Stream(stub), itertools.count()
    np.testing.assert_allclose(stream.observe(next(ticks), X).action.u, answers(1), atol=1e-6)
    move(trainer, b)
    eventually(lambda: stream.observe(next(ticks), X).action.policy_version == b)
    pid = program.process.pid
    assert os.sched_getaffinity(pid) == {max(cores)}
    threads = [os.sched_getaffinity(int(thread.name)) for thread in Path(f"/proc/{pid}/task").iterdir()]
    assert cores in threads
    absent = max(cores) + 4096
    refused = run("controller", "serve", "--cpu", str(absent), "--state-dir", str(programs.root / "other"))
    assert refused.returncode == 2
    assert f"--cpu must be one of {sorted(cores)}; got {absent}" in refused.stderr


def test_one_stream_too_many_is_refused_and_the_others_go_on(
    programs: Programs, publish: Callable[..., str]
) -> None:
    version = publish(seed=1)
    address = programs.both(max_streams=2)[-1]
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, version))
    streams = [Stream(stub), Stream(stub)]
    with pytest.raises(grpc.RpcError, match="2 streams are open, which is the most"):
        Stream(stub, PLANT)
    streams.pop().close()
    eventually(lambda: stub.Describe(v1.DescribeRequest()).streams == 1)
    assert Stream(stub).greeting.HasField("welcome")
    assert streams[0].observe(1, X).action.sequence == 1


def test_a_plant_can_ask_for_one_version_and_is_told_if_there_is_none(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    b, a = publish(seed=2), publish(seed=1)
    trainer, _, address = programs.both()
    eventually(lambda: served(v1.PolicyServiceStub(ready(address)), a))
    words = [
        "run",
        "--plant",
        STILL,
        "--collect",
        "0.4",
        "--controller",
        address,
        "--trainer",
        trainer,
    ]
    words += ["--spool", str(tmp_path / "spool.sqlite"), "--policy-version"]
    driven = run("real_env", *words, b)
    assert (driven.returncode, f"policy {b[:12]}" in driven.stderr) == (0, True), driven.stderr
    refused = run("real_env", *words, "0" * 64)
    assert refused.returncode == 1
    assert "the trainer does not give policy 000000000000" in refused.stderr
