"""TLS, tokens and public addresses, on real servers."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from protos.hds import v1
from protos.security import rights
from protos.security.address import is_loopback
from protos.security.certs import make_certificates
from protos.security.client_security import ClientSecurity
from tests.support.programs import STILL, Programs, run
from tests.support.sites import Site, code_of
from tests.support.streams import PLANT, eventually


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def control(channel: grpc.Channel) -> v1.ControlResponse:
    hello = v1.ControlRequest(hello=v1.Hello(plant=PLANT))
    return next(iter(v1.PolicyServiceStub(channel).Control(iter([hello]), timeout=10.0)))


def append(channel: grpc.Channel) -> v1.AppendResponse:
    session = v1.Session(id="s1", task="cartpole_swingup", plant=PLANT)
    row = v1.Transition(
        x=[0.0] * 4, x_next=[0.0] * 4, u_applied=[0.0], purpose=v1.PURPOSE_COLLECT,
        action_source=v1.ACTION_SOURCE_POLICY,
    )  # fmt: skip
    request = v1.AppendRequest(session=session, transitions=[row])
    return next(iter(v1.ExperienceServiceStub(channel).Append(iter([request]), timeout=10.0)))


def train(channel: grpc.Channel) -> v1.StartTrainingResponse:
    options = v1.TrainingOptions(task="cartpole_swingup", epochs=1, label="x")
    return v1.TrainingServiceStub(channel).StartTraining(
        v1.StartTrainingRequest(options=options), timeout=10.0
    )


def policies(channel: grpc.Channel) -> v1.ListPoliciesResponse:
    return v1.RegistryServiceStub(channel).ListPolicies(v1.ListPoliciesRequest(), timeout=10.0)


def jobs(channel: grpc.Channel) -> v1.ListJobsResponse:
    return v1.TrainingServiceStub(channel).ListJobs(v1.ListJobsRequest(), timeout=10.0)


def watermark(channel: grpc.Channel) -> v1.GetWatermarkResponse:
    stub = v1.ExperienceServiceStub(channel)
    return stub.GetWatermark(v1.GetWatermarkRequest(session="s1"), timeout=10.0)


def test_every_call_of_the_wire_has_its_rights_written_down() -> None:
    files = (v1.DescribeRequest, v1.AppendRequest, v1.StartRefitRequest, v1.ListPoliciesRequest)
    described = [service for kind in files for service in kind.DESCRIPTOR.file.services_by_name.values()]
    methods = {f"/{s.full_name}/{method.name}" for s in described for method in s.methods}
    assert len(methods) > 15
    assert methods == {method for method in rights.NEEDED if method.startswith("/hds.v1.")}
    assert all(some <= set(rights.RIGHTS) for some in rights.NEEDED.values())
    assert rights.needed("/hds.v1.Unheard/Of") == {"admin"}


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("::", False), ("192.168.0.4", False), ("rig.local", False), ("", False)],
)  # fmt: skip
def test_only_this_machines_own_addresses_are_loopback(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


@pytest.mark.parametrize("module", ["trainer", "controller"])
def test_a_public_address_needs_tls_and_authentication(module: str, site: Site) -> None:
    words = ["serve", "--host", "0.0.0.0", "--port", "0", "--state-dir", str(site.root / "state")]
    bare = run(module, *words)
    assert bare.returncode in {1, 2}
    assert "0.0.0.0 is not loopback" in bare.stderr
    assert "TLS (--security.certificate" in bare.stderr
    assert "--security.force-public" in bare.stderr
    half = run(module, *words, *site.server())
    assert half.returncode in {1, 2}
    assert "TLS (" not in half.stderr
    assert "authentication (--security.tokens or --security.client-ca)" in half.stderr
    assert not (site.root / "state").exists(), "nothing was begun"


def test_a_public_address_can_be_secured_or_forced(programs: Programs, site: Site) -> None:
    site.client("any", "read")
    for words in (site.with_tokens(), ["--security.force-public"]):
        program, address = programs.trainer("0", "--host", "0.0.0.0", *words)
        assert address.startswith("0.0.0.0:")
        program.end()


def test_each_token_opens_what_its_rights_say_and_nothing_else_is_done(
    programs: Programs, publish: Callable[..., str], site: Site
) -> None:
    publish(seed=1)
    ok, denied = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED
    access = {name: site.client(name, name) for name in rights.RIGHTS}
    _, trainer = programs.trainer("0", *site.with_tokens())
    _, controller = programs.controller(trainer, *site.with_tokens(), *access["read"].arguments())
    to_trainer = {name: one.channel(trainer) for name, one in access.items()}
    to_controller = {name: one.channel(controller) for name, one in access.items()}

    def roll_back(channel: grpc.Channel) -> object:
        return v1.PolicyAdminServiceStub(channel).RollBack(v1.RollBackRequest(), timeout=10.0)

    eventually(lambda: control(to_controller["act"]).HasField("welcome"))
    for name in ("log", "read", "admin"):
        assert code_of(lambda name=name: control(to_controller[name])) == denied
    for name in ("act", "log", "read"):
        assert code_of(lambda name=name: roll_back(to_controller[name])) == denied
        assert code_of(lambda name=name: train(to_trainer[name])) == denied
    assert code_of(lambda: roll_back(to_controller["admin"])) == grpc.StatusCode.FAILED_PRECONDITION
    for name in ("act", "read", "admin"):
        assert code_of(lambda name=name: append(to_trainer[name])) == denied
    assert watermark(to_trainer["log"]).next_sequence == 0, "nothing was stored"
    assert append(to_trainer["log"]).next_sequence == 1
    assert not jobs(to_trainer["read"]).jobs, "nothing was begun"
    codes = {name: code_of(lambda name=name: policies(to_trainer[name])) for name in rights.RIGHTS}
    assert codes == {"act": denied, "log": denied, "read": ok, "admin": ok}


def test_without_a_token_or_with_an_unknown_or_revoked_one_nothing_opens(
    programs: Programs, site: Site
) -> None:
    allowed = site.client("mine", "read").channel
    _, trainer = programs.trainer("0", *site.with_tokens())
    assert policies(allowed(trainer)).policies == []
    nobody = site.client().channel(trainer)
    assert code_of(lambda: policies(nobody)) == grpc.StatusCode.UNAUTHENTICATED
    assert code_of(lambda: append(nobody)) == grpc.StatusCode.UNAUTHENTICATED
    (site.root / "guess.token").write_text("x" * 43)
    guess = site.client("guess").channel(trainer)
    assert code_of(lambda: policies(guess)) == grpc.StatusCode.UNAUTHENTICATED
    site.tokens.write_text("")
    assert code_of(lambda: policies(allowed(trainer))) == grpc.StatusCode.UNAUTHENTICATED, "revoked at once"
    site.client("other", "read")
    assert policies(site.client("other").channel(trainer)).policies == [], "and granted at once"
    site.tokens.write_text("not toml [")
    assert policies(site.client("other").channel(trainer)).policies == [], "a broken file revokes nobody"


def test_mutual_tls_takes_only_clients_of_its_authority(programs: Programs, site: Site) -> None:
    certs, strange = site.root / "certs", site.root / "strange"
    make_certificates(strange, ("localhost",), days=1)
    _, trainer = programs.trainer("0", *site.server("--security.client-ca", str(certs / "ca.pem")))
    member = ClientSecurity(ca=certs / "ca.pem", certificate=certs / "client.pem", key=certs / "client.key")
    assert policies(member.channel(trainer)).policies == []
    stranger = ClientSecurity(
        ca=certs / "ca.pem", certificate=strange / "client.pem", key=strange / "client.key"
    )
    for access in (stranger, ClientSecurity(ca=certs / "ca.pem")):
        channel = access.channel(trainer)
        for call in (policies, append, train):
            assert code_of(lambda call=call, to=channel: call(to)) == grpc.StatusCode.UNAUTHENTICATED
        listed = run("trainer", "policies", "--trainer", trainer, *access.arguments())
        assert "asks for a client's certificate of an authority that it trusts" in listed.stderr
    for access in (ClientSecurity(), ClientSecurity(ca=strange / "ca.pem")):
        code = code_of(lambda access=access: policies(access.channel(trainer)))
        assert code == grpc.StatusCode.UNAVAILABLE, "no TLS, or a server that the client does not trust"
    client = member.channel(trainer)
    assert not jobs(client).jobs, "nothing was begun"
    assert watermark(client).next_sequence == 0, "nothing was stored"


def test_a_certificate_opens_what_its_name_has_the_rights_for(programs: Programs, site: Site) -> None:
    certs = site.root / "certs"
    site.tokens.write_text('[[certificate]]\nname = "HDS client"\nrights = ["read"]\n')
    _, trainer = programs.trainer("0", *site.with_tokens(), "--security.client-ca", str(certs / "ca.pem"))
    member = ClientSecurity(ca=certs / "ca.pem", certificate=certs / "client.pem", key=certs / "client.key")
    channel = member.channel(trainer)
    assert policies(channel).policies == []
    assert code_of(lambda: train(channel)) == grpc.StatusCode.PERMISSION_DENIED
    assert code_of(lambda: append(channel)) == grpc.StatusCode.PERMISSION_DENIED
    assert not jobs(channel).jobs, "nothing was begun"
    site.tokens.write_text('[[certificate]]\nname = "another"\nrights = ["read"]\n')
    assert code_of(lambda: policies(channel)) == grpc.StatusCode.UNAUTHENTICATED
    assert code_of(lambda: append(channel)) == grpc.StatusCode.UNAUTHENTICATED
    site.tokens.write_text('[[certificate]]\nname = "HDS client"\nrights = ["log"]\n')
    assert watermark(channel).next_sequence == 0, "nothing was stored"
    assert append(channel).next_sequence == 1


def test_a_renewed_certificate_is_taken_without_a_restart(programs: Programs, site: Site) -> None:
    _, trainer = programs.trainer("0", *site.server())
    assert policies(site.client().channel(trainer)).policies == []
    renewed = site.root / "renewed"
    make_certificates(renewed, ("127.0.0.1",), days=1)
    for name in ("server.key", "server.pem"):
        (renewed / name).replace(site.root / "certs" / name)
    assert policies(ClientSecurity(ca=renewed / "ca.pem").channel(trainer)).policies == []


def test_the_whole_loop_runs_over_tls_with_tokens(
    programs: Programs, publish: Callable[..., str], site: Site
) -> None:
    version = publish(seed=1)
    rig, reader = site.client("rig-1", "act", "log"), site.client("controller", "read")
    mutual = site.server("--security.tokens", str(site.tokens))
    _, trainer = programs.trainer("0", *mutual)
    _, controller = programs.controller(trainer, *mutual, *reader.arguments())
    words = ["run", "--plant", STILL, "--collect", "0.4", "--controller", controller]
    words += ["--trainer", trainer, "--spool", str(site.root / "spool.sqlite")]
    driven = run("real_env", *words, *rig.arguments())
    assert (driven.returncode, f"policy {version[:12]}" in driven.stderr) == (0, True), driven.stderr
    refused = run("real_env", *words, *reader.arguments())
    assert refused.returncode == 1
    assert "token 'controller' has the rights: read" in refused.stderr
    listed = run("trainer", "policies", "--trainer", trainer, *reader.arguments())
    assert version[:12] in listed.stdout
    described = run("controller", "describe", "--controller", controller, *rig.arguments())
    assert version in described.stdout


def test_the_right_to_log_runs_no_file_of_the_trainers_machine(
    programs: Programs, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nPath('was-run').touch()\nfrom trainer.tasks.cartpole_swingup import TASK\n"
    )
    rig, admin = site.client("rig", "log"), site.client("admin", "admin")
    _, address = programs.trainer("0", *site.with_tokens())
    channel = rig.channel(address)

    def append() -> v1.AppendResponse:
        request = v1.AppendRequest(session=v1.Session(id="s1", task="mine.py:TASK", plant=PLANT))
        return next(iter(v1.ExperienceServiceStub(channel).Append(iter([request]), timeout=30.0)))

    assert "needs the right of administration" in append().refusal
    assert not (tmp_path / "was-run").exists()
    options = v1.TrainingOptions(task="mine.py:TASK", epochs=1, label="x")
    v1.TrainingServiceStub(admin.channel(address)).StartTraining(v1.StartTrainingRequest(options=options))
    assert not append().refusal
