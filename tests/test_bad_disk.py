"""A disk that is slow, or full: nothing is lost, callers are told, and it goes on by itself."""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env.spool import Spool
from real_env.uploader import ExperienceUploader
from tests.support.bad_disk import built_library
from tests.support.hostile import Registry
from tests.support.plain import session, transition
from tests.support.postgres import PostgreSQL
from tests.support.programs import Programs, ready
from tests.support.published import publish_policy
from tests.support.stored import stored
from tests.support.streams import Stream, eventually, served
from trainer.client import CallFailed, TrainerClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
STREAMS, SLOW_MS, FLUSH_S = 16, 300, 60.0
X = np.array([0.1, 2.0, 0.3, -1.0], np.float32)
LARGE = 2000
"""Transitions that need room of their own, whatever PostgreSQL has set aside."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that says how the disk of programs that are started from here on is."""
    with tempfile.TemporaryDirectory(prefix="hds-disk-") as directory:
        Path(directory).chmod(0o755)  # PostgreSQL may have to run as another user
        library, mood = built_library(Path(directory)), Path(directory) / "mood"
        monkeypatch.setenv("LD_PRELOAD", str(library))
        monkeypatch.setenv("HDS_BAD_DISK", str(mood))
        yield mood


@pytest.fixture
def databases_disk(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, PostgreSQL]]:
    """The same of a PostgreSQL server alone, and that server."""
    server = PostgreSQL()
    monkeypatch.delenv("LD_PRELOAD")
    yield disk, server
    disk.write_text("")
    server.close()


def rows(first: int, count: int) -> list[v1.Transition]:
    return [transition(first + i) for i in range(count)]


def waiting(directory: Path, name: str, count: int) -> Spool:
    spool = Spool(directory / "spool.sqlite")
    spool.open_session(session(name))
    for row in rows(0, count):
        spool.append(name, row)
    return spool


def test_on_a_slow_disk_streams_share_flushes_and_the_trainer_still_answers(
    disk: Path, programs: Programs, tmp_path: Path
) -> None:
    _, address = programs.trainer()
    client = TrainerClient(address)
    client.append([v1.AppendRequest(session=session("first"), transitions=rows(0, 10))])
    disk.write_text(f"slow {SLOW_MS}")

    def record(name: str) -> None:
        batches = [v1.AppendRequest(session=session(name), transitions=rows(50 * k, 50)) for k in range(3)]
        TrainerClient(address).append(batches)

    threads = [threading.Thread(target=record, args=(f"s{number}",)) for number in range(STREAMS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    asked = time.monotonic()
    client.policies()
    answered = time.monotonic() - asked
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    assert answered < 5 * SLOW_MS / 1000, "reading does not wait for who writes"
    assert took >= 3 * SLOW_MS / 1000, "three commits, one after the other, each wait for the disk"
    assert took < STREAMS * 3 * SLOW_MS / 1000 / 2, "each batch waited for flushes of its own"
    disk.write_text("")
    found = stored(f"sqlite:///{tmp_path / 'trainer' / 'hds.sqlite'}")
    assert all(found[f"s{number}"] == list(range(150)) for number in range(STREAMS))


def test_a_full_disk_acknowledges_nothing_tells_every_caller_and_recovers(
    disk: Path, programs: Programs, tmp_path: Path
) -> None:
    program, address = programs.trainer()
    client, said = TrainerClient(address), []
    client.append([v1.AppendRequest(session=session("s1"), transitions=rows(0, 100))])
    disk.write_text("full")
    with pytest.raises(CallFailed, match="the database is not available"):
        client.append([v1.AppendRequest(session=session("s1"), transitions=rows(100, 50))])
    with pytest.raises(CallFailed, match="the database is not available"):
        client.start_training(v1.TrainingOptions(task="cartpole_swingup", epochs=1))
    assert client.watermark("s1") == 100, "reading goes on"
    spool = waiting(tmp_path, "s2", 500)
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s2", said.append)
    assert not uploader.flush(timeout=1.0)
    assert spool.waiting() == 500
    disk.write_text("")
    assert uploader.flush(FLUSH_S)
    uploader.close()
    assert any("the database is not available" in words for words in said)
    client.append([v1.AppendRequest(session=session("s1"), transitions=rows(100, 50))])
    found = stored(f"sqlite:///{tmp_path / 'trainer' / 'hds.sqlite'}")
    assert found == {"s1": list(range(150)), "s2": list(range(500))}
    assert program.process.poll() is None


def test_a_postgresql_whose_disk_is_full_takes_nothing_says_so_and_goes_on_when_there_is_room(
    databases_disk: tuple[Path, PostgreSQL], programs: Programs, tmp_path: Path
) -> None:
    disk, server = databases_disk
    database, said = server.new_database(), []
    program, address = programs.trainer("0", "--database", database)
    client = TrainerClient(address)
    client.append([v1.AppendRequest(session=session("s1"), transitions=rows(0, 100))])
    disk.write_text("full")
    with pytest.raises(CallFailed, match=r"the database is not available \(could not extend file"):
        client.append([v1.AppendRequest(session=session("s1"), transitions=rows(100, LARGE))])
    assert client.watermark("s1") == 100, "all of a batch or nothing; and reading goes on"
    spool = waiting(tmp_path, "s2", LARGE)
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s2", said.append)
    assert not uploader.flush(timeout=1.0)
    disk.write_text("")
    assert uploader.flush(FLUSH_S)
    uploader.close()
    assert any("No space left on device" in words for words in said)
    client.append([v1.AppendRequest(session=session("s1"), transitions=rows(100, LARGE))])
    assert stored(database) == {"s1": list(range(100 + LARGE)), "s2": list(range(LARGE))}
    assert program.process.poll() is None


class Controlled:
    """A registry with versions a and b, and a controller on the bad disk that serves a."""

    def __init__(self, programs: Programs) -> None:
        trainer = programs.root / "trainer"
        self.b, self.a = (publish_policy(trainer, seed) for seed in (2, 1))
        self.registry = Registry(trainer / "checkpoints", self.a)
        self.programs = programs
        self.program, address = programs.controller(self.registry.address)
        self.channel = ready(address)
        self.stub = v1.PolicyServiceStub(self.channel)
        eventually(lambda: served(self.stub, self.a))


@pytest.fixture
def controlled(disk: Path, programs: Programs) -> Iterator[Controlled]:
    made = Controlled(programs)
    yield made
    disk.write_text("")
    made.registry.close()


def test_a_policy_that_did_not_fit_on_the_disk_is_served_when_there_is_room(
    disk: Path, controlled: Controlled
) -> None:
    disk.write_text("full")
    controlled.registry.move(controlled.b)
    describe = controlled.stub.Describe
    eventually(lambda: "No space left on device" in describe(v1.DescribeRequest()).refusal)
    assert Stream(controlled.stub).observe(0, X).action.policy_version == controlled.a
    disk.write_text("")
    eventually(lambda: served(controlled.stub, controlled.b))
    assert (controlled.programs.root / "controller" / "last-good").read_text() == controlled.b


def test_a_shadow_on_a_full_disk_compares_on_and_does_not_flood_the_log(
    disk: Path, controlled: Controlled
) -> None:
    admin = v1.PolicyAdminServiceStub(controlled.channel)
    admin.SetShadow(v1.SetShadowRequest(version=controlled.b))
    stream, shadow = Stream(controlled.stub), lambda: controlled.stub.Describe(v1.DescribeRequest()).shadow
    stream.observe(0, X)
    eventually(lambda: shadow().compared == 1)
    disk.write_text("full")
    for tick in range(1, 501):
        assert stream.observe(tick, X).HasField("action")
    eventually(lambda: shadow().compared + shadow().skipped == 501)
    assert shadow().unwritten > 400
    disk.write_text("")
    stream.observe(501, X)
    said = controlled.programs.said("controller")  # the log's own file was on the full disk, too
    assert said.count("cannot be written to") <= 1
    assert "Traceback" not in said
    assert len(said) < 10_000
    admin.SetShadow(v1.SetShadowRequest(), timeout=10.0)
