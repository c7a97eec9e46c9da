"""A disk that is slow, or full: nothing is lost, callers are told, and it goes on by itself."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.hds import v1
from protos.transport.access import Access
from real_env.spool import Spool
from real_env.uplink import Uplink
from tests.firmware import compiler
from tests.plain import session, transition
from tests.postgres import PostgreSQL
from tests.programs import Programs
from tests.test_kill import stored
from trainer.client import CallFailed, TrainerClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
STREAMS, SLOW_MS, FLUSH_S = 16, 300, 60.0
LARGE = 2000
"""Transitions that need room of their own, whatever PostgreSQL has set aside."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that says how the disk of programs that are started from here on is."""
    with tempfile.TemporaryDirectory(prefix="hds-disk-") as directory:
        library, mood = Path(directory) / "bad_disk.so", Path(directory) / "mood"
        Path(directory).chmod(0o755)  # PostgreSQL may have to run as another user
        source = Path(__file__).parent / "bad_disk.c"
        command = [*compiler(), "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
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
    uplink = Uplink(address, Access(), spool, "s2", said.append)
    assert not uplink.flush(timeout=1.0)
    assert spool.waiting() == 500
    disk.write_text("")
    assert uplink.flush(FLUSH_S)
    uplink.close()
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
    uplink = Uplink(address, Access(), spool, "s2", said.append)
    assert not uplink.flush(timeout=1.0)
    disk.write_text("")
    assert uplink.flush(FLUSH_S)
    uplink.close()
    assert any("No space left on device" in words for words in said)
    client.append([v1.AppendRequest(session=session("s1"), transitions=rows(100, LARGE))])
    assert stored(database) == {"s1": list(range(100 + LARGE)), "s2": list(range(LARGE))}
    assert program.process.poll() is None
