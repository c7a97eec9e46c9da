"""A disk that is slow, or full: nothing is lost, callers are told, and it goes on by itself."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from protos.hds import v1
from protos.transport.access import Access
from real_env.spool import Spool
from real_env.uplink import Uplink
from tests.firmware import compiler
from tests.plain import session, transition
from tests.programs import Programs
from tests.test_kill import stored
from trainer.client import CallFailed, TrainerClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
STREAMS, SLOW_MS, FLUSH_S = 16, 300, 60.0


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says how the disk of programs that are started from here on is."""
    library, mood = tmp_path / "bad_disk.so", tmp_path / "mood"
    source = Path(__file__).parent / "bad_disk.c"
    command = [*compiler(), "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("HDS_BAD_DISK", str(mood))
    return mood


def rows(first: int, count: int) -> list[v1.Transition]:
    return [transition(first + i) for i in range(count)]


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
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session("s2"))
    for row in rows(0, 500):
        spool.append("s2", row)
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
