"""Policies that cannot be had: told, bounded, in nobody's way, and tried again."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from protos.hds import v1
from tests.support.hostile import Registry
from tests.support.programs import Programs, ready
from tests.support.published import publish_policy
from tests.support.streams import Stream, eventually, served

X = np.array([0.1, 2.0, 0.3, -1.0], np.float32)


class Site:
    """A hostile registry with versions `a` and `b`, and a controller that serves a."""

    def __init__(self, programs: Programs) -> None:
        trainer = programs.root / "trainer"
        self.b, self.a = (publish_policy(trainer, seed) for seed in (2, 1))
        self.registry = Registry(trainer / "checkpoints", self.a)
        self.programs, self.state = programs, programs.root / "controller"
        self.program, self.address = programs.controller(self.registry.address)
        self.channel = ready(self.address)
        self.stub = v1.PolicyServiceStub(self.channel)
        eventually(lambda: served(self.stub, self.a))

    def refusal(self) -> str:
        return self.stub.Describe(v1.DescribeRequest()).refusal

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.state.rglob("*") if path.is_file())


@pytest.fixture
def site(programs: Programs) -> Iterator[Site]:
    made = Site(programs)
    yield made
    made.registry.close()


@pytest.mark.parametrize("mood", ["endless", "many", "broken"])
def test_a_download_that_is_no_checkpoint_is_refused_and_tried_again(site: Site, mood: str) -> None:
    before, site.registry.mood = site.size(), mood
    site.registry.move(site.b)
    eventually(lambda: site.refusal() != "")
    assert {"endless": "larger than", "many": "larger than", "broken": "damaged"}[mood] in site.refusal()
    assert Stream(site.stub).observe(0, X).action.policy_version == site.a
    assert site.size() <= before + (1 << 20), "nothing of it stays on the disk"
    assert site.registry.sent < 1 << 30
    site.registry.mood = "right"
    eventually(lambda: served(site.stub, site.b))
    assert site.refusal() == ""


def test_a_silent_download_keeps_nobody_waiting_and_ends(site: Site) -> None:
    site.registry.move(site.b)
    eventually(lambda: served(site.stub, site.b))
    third = publish_policy(site.programs.root / "trainer", 3, label="other")
    site.registry.mood = "silent"
    site.registry.move(third)
    eventually(lambda: site.registry.asked == 3)
    admin = v1.PolicyAdminServiceStub(site.channel)
    admin.SetShadow(v1.SetShadowRequest(version=site.a), timeout=5.0)
    answer = admin.RollBack(v1.RollBackRequest(), timeout=5.0)
    assert (answer.left_version, answer.version) == (site.b, site.a)
    pinned = Stream(site.stub, pin=site.b)
    assert pinned.observe(0, X).action.policy_version == site.b
    assert Stream(site.stub).observe(0, X).action.policy_version == site.a


def test_a_label_that_moves_on_does_not_wait_for_a_silent_download(site: Site) -> None:
    third = publish_policy(site.programs.root / "trainer", 3, label="other")
    site.registry.mood = "silent"
    site.registry.move(third)
    eventually(lambda: site.registry.asked == 2)
    site.registry.mood = "right"
    site.registry.move(site.b)
    eventually(lambda: served(site.stub, site.b))


def test_downloads_that_clients_ask_for_are_bounded(site: Site) -> None:
    site.registry.mood = "silent"
    versions = [publish_policy(site.programs.root / "trainer", 10 + i, label="other") for i in range(5)]
    for version in versions[:4]:
        asked = site.registry.asked
        call = site.stub.Control(
            iter([v1.ControlRequest(hello=v1.Hello(policy_version=version, client="pin"))])
        )
        eventually(lambda asked=asked: site.registry.asked > asked)
        assert call.is_active()
    refused = Stream(site.stub, pin=versions[4]).greeting.error
    assert refused.code == v1.ERROR_CODE_NO_SUCH_VERSION
    assert "4 policies are being downloaded" in refused.message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"../../etc", b"\n\n3f2a"])
def test_a_broken_note_of_the_last_good_policy_is_set_aside(
    programs: Programs, tmp_path: Path, content: bytes
) -> None:
    version = publish_policy(tmp_path / "trainer", 1)
    state = tmp_path / "controller"
    state.mkdir()
    for name in ("last-good", "rolled-back"):
        (state / name).write_bytes(content)
    _, _, address = programs.both()
    stub = v1.PolicyServiceStub(ready(address))
    eventually(lambda: served(stub, version))
    assert (state / "last-good").read_text() == version
    aside = sorted(path.read_bytes() for path in state.glob("*.broken-*"))
    assert aside == [content, content]
    assert "cannot be used, and is now last-good.broken-" in programs.said("controller")


def test_two_controllers_do_not_share_a_state_directory(programs: Programs, site: Site) -> None:
    second = programs.start("controller", "serve", "--port", "0", "--state-dir", str(site.state))
    assert second.process.wait(timeout=60.0) == 2
    told = programs.said("controller")
    assert f"is in use by process {site.program.process.pid}" in told
    assert "give each controller its own --state-dir" in told
    assert Stream(site.stub).observe(0, X).action.policy_version == site.a


def test_a_pin_of_what_is_no_version_is_answered_in_few_words(site: Site) -> None:
    error = Stream(site.stub, pin="x" * 100_000).greeting.error
    assert len(error.message) < 500
    with pytest.raises(grpc.RpcError) as refused:
        v1.PolicyAdminServiceStub(site.channel).SetShadow(v1.SetShadowRequest(version="x" * 100_000))
    assert len(str(refused.value.details())) < 500  # pyright: ignore[reportAttributeAccessIssue]
