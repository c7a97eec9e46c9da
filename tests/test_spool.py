"""The spool when its file is full, locked, broken, or holds what no trainer takes."""

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env import spool as spool_module
from real_env import uploader as uploader_module
from real_env.spool import TOGETHER, Spool, SpoolFull
from real_env.uploader import GATHER_S, LARGEST_BYTES, ExperienceUploader, SessionRejected
from tests.support.plain import NAMES, session, transition
from tests.support.programs import STILL, Programs, run
from tests.support.watermarks import stored

FLUSH_S = 30.0


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def spool(tmp_path: Path, said: list[str]) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.sqlite", say=said.append)
    opened.open_session(session())
    yield opened
    opened.close()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another program write to the database, and not end."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def sequences(spool: Spool) -> list[int]:
    return [row.sequence for row in spool.read("s1", 0, 10_000)]


def test_what_comes_while_another_program_has_the_file_is_held_in_order(
    spool: Spool, said: list[str]
) -> None:
    for k in range(3):
        spool.append("s1", transition(k))
    with locked(spool.path):
        for k in range(3, 100):
            spool.append("s1", transition(k))
        assert spool.held() == 97
        assert sequences(spool) == list(range(100)), "what is held is sent like the rest"
    spool._again_at = 0.0
    spool.append("s1", transition(100))
    assert (spool.held(), spool.waiting()) == (0, 101)
    assert sequences(spool) == list(range(101))
    assert [words.split(" ", 3)[3].split(" (")[0] for words in said] == [
        "takes nothing",
        "takes transitions again",
    ]


def test_what_is_held_and_acknowledged_is_gone(spool: Spool) -> None:
    spool.append("s1", transition(0))
    with locked(spool.path):
        for k in range(1, 10):
            spool.append("s1", transition(k))
        spool.acknowledge("s1", 5)  # the file takes not even that
        assert sequences(spool) == list(range(5, 10))
        assert spool.waiting() == 5
        spool.acknowledge("s1", 10)
        assert (spool.sessions(), spool.waiting()) == ([], 0)
    spool._again_at = 0.0
    spool.append("s1", transition(10))
    assert (sequences(spool), spool.waiting()) == ([10], 1)
    assert spool.kept()[0].transitions == 1, "what was acknowledged is deleted"


def test_a_file_that_stays_locked_ends_the_run_before_the_memory_is_full(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MOST_HELD", 10)
    with locked(spool.path):
        for k in range(10):
            spool.append("s1", transition(k))
        with pytest.raises(
            SpoolFull, match=r"takes no more \(database is locked\), and 10 transitions are held"
        ):
            spool.append("s1", transition(10))


def test_a_spool_that_is_locked_from_the_start_is_used_as_soon_as_it_is_free(tmp_path: Path) -> None:
    path, said = tmp_path / "spool.sqlite", []
    first = Spool(path)
    first.open_session(session("earlier"))
    first.append("earlier", transition(0))
    first.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    spool = Spool(path, say=said.append)
    spool.open_session(session())
    spool.append("s1", transition(0))
    assert "is locked by another program" in said[0]
    assert sequences(spool) == [0]
    other.close()
    spool._again_at = 0.0
    spool.append("s1", transition(1))
    assert [one.id for one in spool.sessions()] == ["earlier", "s1"]
    assert (spool.held(), spool.waiting()) == (0, 3)
    spool.close()


@pytest.mark.parametrize("damage", ["no database", "cut", "zeroed"])
def test_a_broken_spool_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    path, said = tmp_path / "spool.sqlite", []
    first = Spool(path)
    first.open_session(session())
    for k in range(2000):
        first.append("s1", transition(k))
    first.close()
    whole = path.read_bytes()
    broken = {
        "no database": b"not a database" * 1000,
        "cut": whole[:5000],
        "zeroed": whole[:4096] + bytes(200_000),
    }
    path.write_bytes(broken[damage])
    spool = Spool(path, say=said.append)
    spool.open_session(session())
    spool.append("s1", transition(0))
    assert sequences(spool) == [0]
    (aside,) = (path for path in tmp_path.glob("spool.sqlite.broken-*") if path.name[-1].isdigit())
    assert aside.read_bytes() == broken[damage]
    assert f"it is now {aside.name}, and a new one began" in said[0]
    spool.close()


def test_the_spool_is_its_owners_alone_and_its_lock_names_the_holder(spool: Spool) -> None:
    for ending in ("", "-wal", "-shm", ".lock"):
        path = spool.path.with_name(spool.path.name + ending)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    with pytest.raises(
        OSError, match=f"is in use by process {os.getpid()} on .*; give each run its own --spool"
    ):
        Spool(spool.path)


def test_damaged_and_oversized_sessions_do_not_keep_others_from_being_sent(
    programs: Programs, spool: Spool, said: list[str]
) -> None:
    size = LARGEST_BYTES // 4
    spool.open_session(
        session("a-large", v1.PlantSpec(name="large", state_names=["x"] * size, control_dt_s=0.04))
    )
    spool.append("a-large", v1.Transition(sequence=0, x=[0.0] * size))
    spool.open_session(session("b-damaged"))
    for k in range(5):
        spool.append("b-damaged", transition(k))
    with contextlib.closing(sqlite3.connect(spool.path)) as other, other:
        other.execute(
            "UPDATE transitions SET transition = x'ff' WHERE session = 'b-damaged' AND sequence = 3"
        )
    for k in range(3):
        spool.append("s1", transition(k))
    _, address = programs.trainer()
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s1", said.append)
    assert uploader.flush(FLUSH_S)
    uploader.close()
    assert stored(address) == [0, 1, 2]
    assert stored(address, "b-damaged") == [0, 1, 2]
    why = {kept.session: kept.refused for kept in spool.kept()}
    assert "bytes; a message holds" in why["a-large"]
    assert why["b-damaged"] == "a transition from 3 on cannot be read"
    assert any("'hds-real-env spool list' shows them" in words for words in said)


def test_a_refused_session_is_listed_with_its_reason_and_discarded(
    programs: Programs, tmp_path: Path, spool: Spool
) -> None:
    arm = v1.PlantSpec(name="arm\x1b[2J", state_names=NAMES, action_names=["b"], control_dt_s=0.04)
    spool.open_session(session("refused", arm))
    for k in range(4):
        spool.append("refused", transition(k))
    _, address = programs.trainer()
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "refused", lambda words: None)
    with pytest.raises(SessionRejected, match="plant must have no control characters"):
        uploader.flush(FLUSH_S)
    uploader.close()
    spool.close()
    words = ["--spool", str(spool.path)]
    listed = run("real_env", "spool", "list", *words)
    assert (
        r"refused  cartpole_swingup  arm\x1b[2J  4 transitions  refused: the session's plant must"
        in listed.stdout
    )
    asked = run("real_env", "spool", "discard", "refused", *words)
    assert (asked.returncode, "nothing was deleted" in asked.stderr) == (0, True)
    gone = run("real_env", "spool", "discard", "refu", "--yes", *words)
    assert "deleted 4 transitions" in gone.stdout
    assert run("real_env", "spool", "list", *words).stdout.startswith("0 sessions, 0 transitions")
    assert "no session here begins with x" in run("real_env", "spool", "discard", "x", *words).stderr
    missing = run("real_env", "spool", "list", "--spool", str(tmp_path / "nothing.sqlite"))
    assert (missing.returncode, "there is no spool" in missing.stderr) == (2, True)


def test_a_locked_spool_does_not_hold_up_the_plant(programs: Programs, publish, tmp_path: Path) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    path = tmp_path / "spool.sqlite"
    Spool(path).close()
    script = (
        "import sqlite3, sys; other = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "other.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    words = [
        "--plant",
        STILL,
        "--collect",
        "2",
        "--real-time",
        "--controller",
        controller,
        "--trainer",
        trainer,
    ]
    driven = run("real_env", "run", *words, "--spool", str(path))
    other.kill()
    other.communicate()
    assert driven.returncode == 0, driven.stderr
    (overran,) = re.findall(r"(\d+) ticks overran", driven.stderr)
    assert int(overran) < 10, "one in five at most, by stalls of the computer"
    (summary,) = client_sessions(trainer)
    assert summary.steps == 50


def client_sessions(address: str) -> list[v1.SessionSummary]:
    from trainer.client import TrainerClient

    return TrainerClient(address).sessions(v1.Selection())


class Measured(Spool):
    """Notes how many rows each commit tries to write."""

    def __init__(self, path: Path) -> None:
        self.rows: list[int] = []
        super().__init__(path)

    def _commit(self, sessions: list, rows: list) -> None:
        self.rows.append(len(rows))
        super()._commit(sessions, rows)


def test_no_tick_waits_for_all_that_is_held_to_be_written(tmp_path: Path) -> None:
    """On a full disk, each try wrote everything of the last minutes: ticks were late by 60 ms."""
    spool, count = Measured(tmp_path / "spool.sqlite"), 10 * TOGETHER
    spool.open_session(session())
    with locked(spool.path):
        for k in range(count):
            spool._again_at = 0.0
            spool.append("s1", transition(k))
    for k in range(count, count + 20):
        spool._again_at = 0.0
        spool.append("s1", transition(k))
    assert max(spool.rows) == TOGETHER
    assert not spool._held
    assert sequences(spool) == list(range(count + 20))
    spool.close()


class Counting(Spool):
    """Counts what the trainer acknowledged."""

    acknowledgements = 0

    def acknowledge(self, session: str, next_sequence: int) -> None:
        self.acknowledgements += 1
        super().acknowledge(session, next_sequence)


def test_what_a_fast_rig_records_is_gathered_into_few_messages(programs: Programs, tmp_path: Path) -> None:
    """A trainer commits each message: one for every tick of ten rigs at 1 kHz would be 10 000 a second."""
    _, address = programs.trainer()
    spool, pace = Counting(tmp_path / "spool.sqlite"), threading.Event()
    spool.open_session(session("s1"))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s1", lambda words: None)
    began, ticks = time.monotonic(), 300
    for k in range(ticks):
        spool.append("s1", transition(k))
        uploader.notify()
        pace.wait(0.002)
    most = 4 + (time.monotonic() - began) / GATHER_S
    assert uploader.flush(FLUSH_S)
    uploader.close()
    spool.close()
    assert stored(address) == list(range(ticks))
    assert spool.acknowledgements <= most


def test_who_waits_for_all_to_be_sent_does_not_wait_for_more_to_gather(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader_module, "GATHER_S", 3600.0)
    _, address = programs.trainer()
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session("s1"))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s1", lambda words: None)
    for k in range(5):
        spool.append("s1", transition(k))
        assert uploader.flush(FLUSH_S)
    uploader.close()
    spool.close()
