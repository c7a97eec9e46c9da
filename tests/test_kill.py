"""What survives when programs die: everything that a client's spool ever took, once.

pytest -m slow tests/test_kill.py       200 kills for each database, some ten minutes each
"""

import random
import resource
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env.spool import Spool, SpoolFull
from real_env.uploader import ExperienceUploader
from tests.support.plain import session, transition
from tests.support.programs import STILL, Programs, free_port, kill, run
from tests.support.stored import stored
from trainer.client import TrainerClient
from trainer.store.database import open_database
from trainer.store.schema import SESSIONS, TRANSITIONS

FLUSH_S = 120.0


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_of_trainer_client_or_both_lose_and_double_nothing(
    programs: Programs, database: str, tmp_path: Path, kills: int
) -> None:
    chance, port = random.Random(kills), str(free_port())
    spool = tmp_path / "spool.sqlite"
    trainer, address = programs.trainer(port, "--database", database)
    names = ["s000"]
    client = programs.start("tests.recorder", str(spool), address, names[-1])
    for number in range(1, kills + 1):
        victims = chance.choice([(0,), (1,), (0, 1)]) if number > 3 else [(0,), (1,), (0, 1)][number - 1]
        threading.Event().wait(chance.uniform(0.2, 1.5))  # the moment of the kill, not a wait for anything
        if 0 in victims:
            kill(trainer)
        if 1 in victims:
            kill(client)
            names.append(f"s{number:03}")
            client = programs.start("tests.recorder", str(spool), address, names[-1])
        if 0 in victims:
            trainer, address = programs.trainer(port, "--database", database)
    kill(client)
    kept = Spool(spool)
    uploader = ExperienceUploader(address, ClientSecurity(), kept, "none", lambda message: None)
    assert uploader.deliver(FLUSH_S), "hundreds of thousands may wait; that takes as long as it takes"
    uploader.close()
    assert kept.waiting() == 0
    found = stored(database)
    total = 0
    for name in names:
        log = Path(f"{spool}.{name}.taken")
        taken = log.stat().st_size if log.exists() else 0  # killed before it began
        sequences = found.get(name, [])
        assert sequences == list(range(len(sequences))), f"{name} has gaps or doubles"
        assert len(sequences) in (taken, taken + 1), f"{name}: the spool took {taken}"
        total += taken
    assert total > 100 * len(names)


def test_a_trainer_restored_from_an_old_backup_says_what_it_lacks(
    programs: Programs, database: str, tmp_path: Path
) -> None:
    """It lost what it had acknowledged; the client tells which, and keeps what it has."""
    _, address = programs.trainer("0", "--database", database)
    spool, said = Spool(tmp_path / "spool.sqlite"), []
    spool.open_session(session("s1"))
    for sequence in range(120):
        spool.append("s1", transition(sequence))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "none", said.append)
    assert uploader.flush(FLUSH_S)
    uploader.close()
    with open_database(database).begin() as connection:
        connection.execute(TRANSITIONS.delete().where(TRANSITIONS.c.sequence >= 100))
        connection.execute(SESSIONS.update().values(next_sequence=100))
    spool.append("s1", transition(120))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "none", said.append)
    assert uploader.flush(FLUSH_S)
    assert "it lacks 100 to 119, which were acknowledged once and are not here any more" in said[-1]
    assert spool.waiting() == 1
    uploader.close()


def test_a_trainer_that_takes_nothing_is_given_up_and_has_everything_once_it_goes_on(
    programs: Programs, tmp_path: Path
) -> None:
    trainer, address = programs.trainer()
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session("s1"))
    spool.append("s1", transition(0))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "none", lambda message: None)
    assert uploader.deliver(FLUSH_S)
    trainer.process.send_signal(signal.SIGSTOP)
    for sequence in range(1, 120):
        spool.append("s1", transition(sequence))
    uploader.notify()
    assert not uploader.deliver(0.5)
    assert not uploader.deliver(FLUSH_S, ended=lambda: True)
    assert spool.waiting() == 119
    trainer.process.send_signal(signal.SIGCONT)
    assert uploader.deliver(FLUSH_S)
    uploader.close()


def test_a_full_spool_takes_no_more_says_so_and_loses_nothing(programs: Programs, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", most=10)
    spool.open_session(session("s1"))
    for sequence in range(10):
        spool.append("s1", transition(sequence))
    with pytest.raises(SpoolFull, match=r"is full: 10 transitions wait .* allowed are 10; .*--spool-limit"):
        spool.append("s1", transition(10))
    _, address = programs.trainer()
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "none", lambda message: None)
    assert uploader.flush(FLUSH_S)
    uploader.close()
    spool.append("s1", transition(10))
    assert [row.sequence for row in spool.read("s1", 0, 20)] == [10]


def test_a_run_whose_spool_is_full_ends_and_says_so(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish()
    controller = programs.both()[-1]
    spool = tmp_path / "spool.sqlite"
    words = ["--plant", STILL, "--collect", "1", "--controller", controller]
    words += ["--trainer", f"127.0.0.1:{free_port()}"]
    ended = run("real_env", "run", *words, "--spool", str(spool), "--spool-limit", "3")
    assert ended.returncode == 1, ended.stderr
    assert "is full: 3 transitions wait for the trainer, allowed are 3" in ended.stderr
    assert Spool(spool).waiting() == 3


def test_a_trainer_whose_disk_is_full_acknowledges_nothing_and_recovers_by_itself(
    programs: Programs, tmp_path: Path
) -> None:
    program, address = programs.trainer()
    pid, said = program.process.pid, []
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session("s1"))
    TrainerClient(address).episodes("", v1.PURPOSE_UNSPECIFIED)  # it runs
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    for sequence in range(3000):
        spool.append("s1", transition(sequence))
    full = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        full.set()

    uploader = ExperienceUploader(address, ClientSecurity(), spool, "none", say)
    assert full.wait(FLUSH_S)
    assert "the database is not available" in said[0]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    assert uploader.flush(FLUSH_S)
    uploader.close()
    database = f"sqlite:///{tmp_path / 'trainer' / 'hds.sqlite'}"
    assert stored(database) == {"s1": list(range(3000))}


def test_two_runs_never_share_a_spool(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.sqlite")
    with pytest.raises(OSError, match=r"is in use by process .*; give each run its own --spool"):
        Spool(tmp_path / "spool.sqlite")
    first.close()
    Spool(tmp_path / "spool.sqlite").close()


def test_sending_goes_on_while_another_program_has_the_spool_locked(
    programs: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "spool.sqlite"
    spool = Spool(path)
    spool.open_session(session("s1"))
    for sequence in range(100):
        spool.append("s1", transition(sequence))
    _, address = programs.trainer()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "none", lambda text: None)
    assert uploader.flush(FLUSH_S)
    uploader.close()
    other.execute("ROLLBACK")
    spool.close()
    assert other.execute("SELECT COUNT(*) FROM transitions").fetchone() == (0,)
    assert stored(f"sqlite:///{tmp_path / 'trainer' / 'hds.sqlite'}") == {"s1": list(range(100))}
