"""Certificates end and are renewed while programs run: followed on both sides, and told in time."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from protos.hds import v1
from protos.security.certs import make_certificates
from protos.security.client_security import ClientSecurity
from protos.security.expiry import AGAIN_S, ExpiryWatch
from tests.support.programs import STILL, Programs, free_port, kill, run
from tests.support.published import publish_policy
from tests.support.sites import Site
from tests.support.streams import Stream, eventually, served

X = np.zeros(4, np.float32)
DAY_S = 86_400.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def renew(site: Site, *names: str) -> None:
    """Put certificates of another authority in place of those that are there."""
    fresh = site.root / f"fresh-{time.time_ns()}"
    make_certificates(fresh, ("localhost", "127.0.0.1"), days=1)
    for name in names:
        (fresh / name).replace(site.root / "certs" / name)


def move(site: Site, trainer: str, version: str) -> None:
    registry = v1.RegistryServiceStub(site.client("admin", "admin").channel(trainer))
    registry.SetLabel(v1.SetLabelRequest(label="stable", version=version))


def test_a_controller_serves_on_while_its_files_are_gone_and_follows_new_ones(
    programs: Programs, site: Site
) -> None:
    b, a = (publish_policy(programs.root / "trainer", seed) for seed in (2, 1))
    port, reader = str(free_port()), site.client("reader", "read")
    secured = site.with_tokens()
    program, trainer = programs.trainer(port, *secured)
    controlling, controller = programs.controller(trainer, *reader.arguments())
    stub = v1.PolicyServiceStub(grpc.insecure_channel(controller))
    eventually(lambda: served(stub, a))
    kill(program)
    certs = site.root / "certs"
    for name in ("ca.pem", "client.pem", "client.key"):
        (certs / name).rename(certs / f"{name}.away")
    eventually(lambda: "stay in use" in programs.said("controller"))
    stream = Stream(stub)
    assert stream.observe(0, X).action.policy_version == a
    assert controlling.process.poll() is None
    renew(site, "ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    programs.trainer(port, *secured)
    move(site, trainer, b)
    eventually(lambda: served(stub, b))
    assert stream.observe(1, X).action.policy_version == b


def test_certificates_that_end_soon_are_told_in_log_metrics_description_and_at_the_rig(
    programs: Programs, publish: Callable[..., str], site: Site, tmp_path: Path
) -> None:
    publish(seed=1)
    long = site.root / "long"
    make_certificates(long, ("localhost", "127.0.0.1"), days=400)
    rig = site.client("rig", "act", "log", "read")
    port = free_port()
    _, trainer = programs.trainer("0", *site.with_tokens())
    access = ClientSecurity(site.root / "certs" / "ca.pem", token_file=rig.token_file)
    _, controller = programs.controller(trainer, *site.with_tokens(), *access.arguments(), metrics_port=port)
    stub = v1.PolicyServiceStub(rig.channel(controller))
    eventually(lambda: stub.Describe(v1.DescribeRequest()).ready)
    certificate = site.root / "certs" / "server.pem"
    eventually(lambda: len(stub.Describe(v1.DescribeRequest()).troubles) == 2)
    told = sorted(stub.Describe(v1.DescribeRequest()).troubles)
    assert f"the certificate {certificate} ends in 1 days, at " in told[1]
    for module in ("controller", "trainer"):
        assert f"the certificate {certificate} ends in 1 days" in programs.said(module)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        line = next(
            line
            for line in answer.read().decode().splitlines()
            if line.startswith("hds_certificate_ends_timestamp_seconds") and str(certificate) in line
        )
    assert float(line.split()[-1]) == pytest.approx(time.time() + DAY_S, abs=600.0)
    words = ["--plant", STILL, "--collect", "0.2", "--spool", str(tmp_path / "s.sqlite")]
    driven = run(
        "real_env", "run", *words, "--trainer", trainer, "--controller", controller, *rig.arguments()
    )
    assert f"the certificate {site.root / 'certs' / 'ca.pem'} ends in 1 days" in driven.stderr
    assert driven.returncode == 0, driven.stderr


def test_an_end_is_told_thirty_days_before_and_every_day_from_then(tmp_path: Path) -> None:
    make_certificates(tmp_path / "certs", ("localhost",), days=100)
    began, said = time.time(), []
    now = [began]
    watch = ExpiryWatch([tmp_path / "certs" / "server.pem"], said.append, lambda: now[0])
    for day, expected in ((0, 0), (69, 0), (71, 1), (71.5, 1), (72.1, 2), (101, 3)):
        now[0] = began + day * DAY_S
        watch.look()
        assert len(said) == expected, day
    assert "ends in 29 days" in said[0]
    assert "has ended" in said[-1]
    assert watch.warnings() == [said[-1]]
    assert AGAIN_S == DAY_S


def test_half_of_a_renewed_pair_breaks_nothing(programs: Programs, site: Site) -> None:
    """The certificate is replaced first, and its key a moment later."""
    _, trainer = programs.trainer("0", *site.server())
    certs = site.root / "certs"
    shutil.copy(certs / "ca.pem", site.root / "old-ca.pem")
    old = ClientSecurity(site.root / "old-ca.pem")
    ask = lambda access: v1.RegistryServiceStub(access.channel(trainer)).ListPolicies(  # noqa: E731
        v1.ListPoliciesRequest(), timeout=10.0
    )
    ask(old)
    fresh = site.root / "fresh"
    make_certificates(fresh, ("localhost", "127.0.0.1"), days=1)
    shutil.copy(fresh / "server.pem", certs / "server.pem")
    ask(old)
    assert "stays in use" in programs.said("trainer")
    shutil.copy(fresh / "server.key", certs / "server.key")
    ask(ClientSecurity(fresh / "ca.pem"))


@pytest.mark.slow
def test_renewals_beside_many_connections_on_a_busy_machine_end_no_server(
    programs: Programs, site: Site
) -> None:
    """gRPC frees what others still use (grpc/grpc issue 36693); without `CALM_S` it died of 354 renewals."""
    other, ended, count = site.root / "other", threading.Event(), [0]
    make_certificates(other, ("localhost", "127.0.0.1"), days=1)
    pairs = [
        {name: (directory / name).read_bytes() for name in ("server.key", "server.pem")}
        for directory in (site.root / "certs", other)
    ]
    program, trainer = programs.trainer("0", *site.server())
    host, port = trainer.rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])

    def connect() -> None:
        while not ended.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, int(port)), 20.0) as plain,
                context.wrap_socket(plain),
            ):
                count[0] += 1

    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    threads = [threading.Thread(target=connect) for _ in range(24)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        for name, data in pairs[number % 2].items():
            fresh = site.root / f"{name}.fresh"
            fresh.write_bytes(data)
            fresh.replace(site.root / "certs" / name)
        ended.wait(0.05)
        assert program.process.poll() is None, f"after {number} renewals and {count[0]} connections"
    ended.set()
    for one in busy:
        one.kill()
        one.wait()
    for thread in threads:
        thread.join()
    assert count[0] > 100


def test_silent_clients_of_the_metrics_keep_nobody_waiting_and_new_certificates_are_taken(
    programs: Programs, publish: Callable[..., str], site: Site
) -> None:
    publish(seed=1)
    port, certs = free_port(), site.root / "certs"
    _, trainer = programs.trainer()
    programs.controller(
        trainer, *site.server("--security.client-ca", str(certs / "ca.pem")), metrics_port=port,
        metrics_host="0.0.0.0",
    )  # fmt: skip

    def scraped() -> bool:
        context = ssl.create_default_context(cafile=certs / "ca.pem")
        context.load_cert_chain(certs / "client.pem", certs / "client.key")
        url = f"https://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, context=context, timeout=5.0) as answer:
            return b"hds_streams" in answer.read()

    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    began = time.monotonic()
    assert scraped()
    assert time.monotonic() - began < 4.0, "nobody waits for those that say nothing"
    for one in silent:
        one.settimeout(20.0)
        assert one.recv(1) == b"", "and they are hung up on"
    renew(site, "ca.pem", "server.pem", "server.key", "client.pem", "client.key")

    def renewed() -> bool:
        try:
            return scraped()
        except OSError:
            return False

    eventually(renewed)
