"""Who calls: tokens and certificates that are taken away end what is open, and nobody takes all there is."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.hds import v1
from protos.security import rights
from protos.security.budget import TURN_S, Budget, UsedUp
from protos.security.certificate_refusal import CertificateRefused
from protos.security.certs import make_certificates
from protos.security.client_security import ClientSecurity
from protos.security.tokens import add_token
from real_env.reconnect import retryable
from tests.support.kinds import kinds
from tests.support.plain import session, transition
from tests.support.programs import Programs
from tests.support.published import publish_policy
from tests.support.sites import Site, code_of
from tests.support.streams import Stream, eventually, served

X = np.zeros(4, np.float32)
END_S = 5.0
Call = grpc.Call


def open_control(channel: grpc.Channel) -> Iterator[object]:
    requests: queue.SimpleQueue[v1.ControlRequest | None] = queue.SimpleQueue()
    from tests.support.streams import PLANT

    requests.put(v1.ControlRequest(hello=v1.Hello(plant=PLANT)))
    return v1.PolicyServiceStub(channel).Control(iter(requests.get, None))


def open_append(channel: grpc.Channel) -> Iterator[object]:
    requests: queue.SimpleQueue[v1.AppendRequest | None] = queue.SimpleQueue()
    requests.put(v1.AppendRequest(session=session("open"), transitions=[transition(0)], writer="w"))
    return v1.ExperienceServiceStub(channel).Append(iter(requests.get, None))


def open_label(channel: grpc.Channel) -> Iterator[object]:
    return v1.RegistryServiceStub(channel).WatchLabel(v1.WatchLabelRequest(label="stable"))


def open_job(channel: grpc.Channel) -> Iterator[object]:
    return v1.TrainingServiceStub(channel).WatchJob(v1.WatchJobRequest(id="1"))


class Streams:
    """Open streams, each of which was answered once; `ended` tells how they ended, in time."""

    def __init__(self) -> None:
        self._ends: dict[str, queue.SimpleQueue[grpc.StatusCode]] = {}

    def open(self, name: str, call: Iterator[object]) -> None:
        next(call)
        ends = self._ends[name] = queue.SimpleQueue()

        def wait() -> None:
            try:
                for _ in call:
                    pass
                ends.put(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                ends.put(error.code())  # pyright: ignore[reportAttributeAccessIssue]

        threading.Thread(target=wait, daemon=True).start()

    def ended(self) -> dict[str, grpc.StatusCode]:
        return {name: ends.get(timeout=END_S) for name, ends in self._ends.items()}

    def open_ones(self) -> set[str]:
        return {name for name, ends in self._ends.items() if ends.empty()}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str, str]]:
    """Certificates and tokens, and a trainer and a controller that ask for tokens; both with a policy."""
    root = tmp_path_factory.mktemp("secured")
    programs, site = Programs(root), Site(root)
    publish_policy(root / "trainer", 1)
    try:
        reader = site.client("reader", "read")
        words = site.server(
            "--security.tokens", str(site.tokens), "--security.client-ca", str(root / "certs" / "ca.pem")
        )
        member = with_certificate(site, reader.token_file)
        _, trainer = programs.trainer("0", *words)
        _, controller = programs.controller(trainer, *words, *member.arguments(), max_streams=20)
        stub = v1.PolicyServiceStub(member.channel(controller))
        eventually(lambda: stub.Describe(v1.DescribeRequest()).ready)
        yield site, trainer, controller
    finally:
        programs.close()


def with_certificate(site: Site, token: Path | None = None) -> ClientSecurity:
    certs = site.root / "certs"
    return ClientSecurity(certs / "ca.pem", certs / "client.pem", certs / "client.key", token)


def token_of(site: Site, name: str, *rights: str) -> ClientSecurity:
    file = site.root / f"{name}.token"
    file.write_text(add_token(site.tokens, name, rights))
    return with_certificate(site, file)


def revoke(site: Site, name: str) -> None:
    entries = site.tokens.read_text().split("\n\n")
    site.tokens.write_text("\n\n".join(e for e in entries if f'"{name}"' not in e))


def outcome(channel: grpc.Channel, method: str) -> grpc.StatusCode:
    """Return how a call with an empty request ends."""
    asks, answers = kinds()[method]
    if asks:
        call = channel.stream_stream(method)(iter([b""]), timeout=20.0)
    elif answers:
        call = channel.unary_stream(method)(b"", timeout=20.0)
    else:
        return code_of(lambda: channel.unary_unary(method)(b"", timeout=20.0))
    return code_of(lambda: list(call))


def test_each_call_is_open_to_just_the_credentials_that_are_written_down(
    secured: tuple[Site, str, str],
) -> None:
    site, trainer, controller = secured
    (site.root / "guess.token").write_text("x" * 43)
    named = {name: token_of(site, f"only-{name}", name) for name in rights.RIGHTS}
    named |= {"revoked": token_of(site, "only-revoked", *rights.RIGHTS)}
    revoke(site, "only-revoked")
    named |= {"none": with_certificate(site), "wrong": with_certificate(site, site.root / "guess.token")}
    of_controller = {"PolicyService", "PolicyAdminService"}
    pairs, expected = [], []
    for name, access in named.items():
        credentials = access._credentials()
        assert credentials is not None
        channels = [grpc.secure_channel(address, credentials) for address in (trainer, controller)]
        for method in kinds():
            pairs.append((channels[method.split("/")[1].rpartition(".")[2] in of_controller], method))
            granted = name in rights.RIGHTS
            denied = "PERMISSION_DENIED" if granted else "UNAUTHENTICATED"
            may = method in rights.OPEN or (granted and name in rights.needed(method))
            expected.append((name, method, "let in" if may else denied))
    assert len(pairs) >= 130
    with ThreadPoolExecutor(12) as threads:
        codes = list(threads.map(lambda pair: outcome(*pair).name, pairs))
    refusals = {"PERMISSION_DENIED", "UNAUTHENTICATED"}
    found = [
        (*known[:2], code if code in refusals else "let in")
        for known, code in zip(expected, codes, strict=True)
    ]
    assert [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]] == []
    assert not set(codes) & {
        "UNKNOWN",
        "INTERNAL",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "UNIMPLEMENTED",
    }
    for name in rights.RIGHTS:
        revoke(site, f"only-{name}")


def test_a_revoked_token_ends_its_open_streams_and_no_others(secured: tuple[Site, str, str]) -> None:
    site, trainer, controller = secured
    gone, stays = (token_of(site, name, "act", "log", "read", "admin") for name in ("gone", "stays"))
    options = v1.TrainingOptions(task="cartpole_swingup", epochs=1, label="x")
    training = v1.TrainingServiceStub(stays.channel(trainer))
    training.StartTraining(v1.StartTrainingRequest(options=options))
    lost, kept = Streams(), Streams()
    lost.open("control", open_control(gone.channel(controller)))
    lost.open("append", open_append(gone.channel(trainer)))
    lost.open("label", open_label(gone.channel(trainer)))
    lost.open("job", open_job(gone.channel(trainer)))
    kept.open("control", open_control(stays.channel(controller)))
    kept.open("label", open_label(stays.channel(trainer)))
    revoke(site, "gone")
    unauthenticated = grpc.StatusCode.UNAUTHENTICATED
    assert lost.ended() == dict.fromkeys(("control", "append", "label", "job"), unauthenticated)
    assert kept.open_ones() == {"control", "label"}
    training.CancelJob(v1.CancelJobRequest(id="1"))


def test_a_token_that_loses_a_right_loses_the_streams_that_need_it(secured: tuple[Site, str, str]) -> None:
    site, trainer, controller = secured
    access, streams, left = token_of(site, "less", "act", "read"), Streams(), Streams()
    streams.open("control", open_control(access.channel(controller)))
    left.open("label", open_label(access.channel(trainer)))
    site.tokens.write_text(site.tokens.read_text().replace('rights = ["act", "read"]', 'rights = ["read"]'))
    assert streams.ended() == {"control": grpc.StatusCode.PERMISSION_DENIED}
    assert left.open_ones() == {"label"}


def test_a_revoked_certificate_ends_its_open_streams(secured: tuple[Site, str, str]) -> None:
    site, trainer, controller = secured
    member, streams = with_certificate(site), Streams()
    before = site.tokens.read_text()
    listed = '[[certificate]]\nname = "HDS client"\nrights = ["act", "read"]\n\n'
    site.tokens.write_text(listed + before)
    streams.open("control", open_control(member.channel(controller)))
    streams.open("label", open_label(member.channel(trainer)))
    site.tokens.write_text(before)
    assert set(streams.ended().values()) == {grpc.StatusCode.UNAUTHENTICATED}


def test_an_authority_that_is_taken_out_ends_the_streams_of_its_clients(
    programs: Programs, site: Site
) -> None:
    publish_policy(programs.root / "trainer", 1)
    certs, other = site.root / "certs", site.root / "other"
    make_certificates(other, ("localhost",), days=1)
    authorities = site.root / "clients.pem"
    authorities.write_bytes((certs / "ca.pem").read_bytes() + (other / "ca.pem").read_bytes())
    _, trainer = programs.trainer("0", *site.server("--security.client-ca", str(authorities)))
    stranger = ClientSecurity(certs / "ca.pem", other / "client.pem", other / "client.key")
    lost, kept = Streams(), Streams()
    lost.open("label", open_label(stranger.channel(trainer)))
    kept.open("label", open_label(with_certificate(site).channel(trainer)))
    authorities.write_bytes((certs / "ca.pem").read_bytes())
    assert lost.ended() == {"label": grpc.StatusCode.UNAUTHENTICATED}
    assert kept.open_ones() == {"label"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_whoever_shows_no_token_shuts_nobody_out(secured: tuple[Site, str, str]) -> None:
    """25 channels with 100 watches each, as one who means harm, or a wrong probe, opens them."""
    site, _, controller = secured
    nobody = with_certificate(site)
    channels = [nobody.channel(controller, (("grpc.use_local_subchannel_pool", 1),)) for _ in range(25)]
    watches = [
        health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())  # pyright: ignore
        for channel in channels
        for _ in range(100)
    ]
    refused = grpc.StatusCode.RESOURCE_EXHAUSTED
    eventually(lambda: sum(watch.code() == refused for watch in watches if not watch.is_active()) > 50)
    rig = token_of(site, "rig", "act")
    stream = Stream(v1.PolicyServiceStub(rig.channel(controller)))
    assert stream.greeting.HasField("welcome"), "a new rig is let in"
    assert stream.observe(0, X).HasField("action")
    probe = health_pb2_grpc.HealthStub(rig.channel(controller)).Check  # pyright: ignore
    assert (
        probe(health_pb2.HealthCheckRequest(), timeout=10.0).status == health_pb2.HealthCheckResponse.SERVING
    )
    for watch in watches:
        watch.cancel()
    stream.close()
    revoke(site, "rig")


def test_a_flood_of_wrong_tokens_is_answered_slowly_and_a_right_one_at_once(
    secured: tuple[Site, str, str],
) -> None:
    site, _, controller = secured
    (site.root / "guess.token").write_text("x" * 43)
    credentials = with_certificate(site, site.root / "guess.token")._credentials()
    assert credentials is not None
    guess = v1.PolicyServiceStub(grpc.secure_channel(controller, credentials))  # without our retelling
    futures = [guess.Describe.future(v1.DescribeRequest()) for _ in range(300)]
    rig = token_of(site, "rig", "act")
    stub = v1.PolicyServiceStub(rig.channel(controller))
    for _ in range(50):
        assert stub.Describe(v1.DescribeRequest(), timeout=2.0).ready
    codes = {code_of(future.result) for future in futures}
    beyond = grpc.StatusCode.UNAVAILABLE  # more streams than a connection may have, before it is told
    assert codes <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED, beyond}
    revoke(site, "rig")


def test_a_budget_bounds_calls_at_a_time_and_of_one_machine() -> None:
    budget = Budget("who", 4, 1e9, 4, by_host=2)
    for host in ("a", "a", "b", "b"):
        budget.enter(host)
    with pytest.raises(UsedUp, match="who has 4 calls open, which is the most"):
        budget.enter("c")
    budget.leave("b")
    with pytest.raises(UsedUp, match="a has 2 calls of who open"):
        budget.enter("a")
    budget.enter("c")


def test_a_budget_lets_a_burst_through_and_then_so_many_a_second() -> None:
    now, budget = [100.0], Budget("who", 1000, 10.0, 4)
    budget.now = lambda: now[0]
    waits = [budget.enter("a") for _ in range(25)]
    assert waits == pytest.approx([0.0] * 5 + [0.1 * k for k in range(1, 21)])
    with pytest.raises(UsedUp, match="makes more than 10 calls a second"):
        budget.enter("a")
    assert waits[-1] <= TURN_S
    now[0] += 10.0
    assert budget.enter("a") == 0.0


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_client_waits_for_whatever_may_pass(code: grpc.StatusCode) -> None:
    passes = {
        "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL",
        "UNKNOWN", "DATA_LOSS", "OK",
    }  # fmt: skip
    rights = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    error = CertificateRefused("x")
    error.code = lambda: code
    assert retryable(error) is (code.name in passes)
    assert retryable(error, was_accepted=True) is (code.name in passes | rights)


def test_a_token_that_is_renewed_on_both_sides_goes_on_without_a_restart(
    programs: Programs, publish: Callable[..., str], site: Site
) -> None:
    version = publish(seed=1)
    rig = site.client("rig", "act", "read")
    _, trainer = programs.trainer("0", *site.with_tokens())
    _, controller = programs.controller(trainer, *site.with_tokens(), *rig.arguments())
    stub = v1.PolicyServiceStub(rig.channel(controller))
    eventually(lambda: served(stub, version))
    site.tokens.write_text("")
    assert code_of(lambda: stub.Describe(v1.DescribeRequest())) == grpc.StatusCode.UNAUTHENTICATED
    (site.root / "rig.token").write_text(add_token(site.tokens, "rig", ("act", "read")))
    assert served(stub, version)
    admin = v1.RegistryServiceStub(site.client("admin", "admin").channel(trainer))
    admin.SetLabel(v1.SetLabelRequest(label="other", version=version))
    eventually(lambda: "unauthenticated" in programs.said("controller"))
    assert stub.Describe(v1.DescribeRequest()).ready
