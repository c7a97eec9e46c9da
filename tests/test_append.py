"""What the trainer takes: transitions as the `.proto` says, from one writer, each number once."""

import json
import queue
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import sqlalchemy as sa

from protos.hds import v1
from tests.support.plain import session, transition
from tests.support.programs import Programs, asked, ready
from tests.support.watermarks import stored
from trainer.client import TrainerClient
from trainer.store.database import audit, audit_rows, open_database, sqlite_url, writing

NAN, INF = float("nan"), float("inf")
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A trainer's address, and its state."""
    programs = Programs(tmp_path_factory.mktemp("append"))
    try:
        yield programs.trainer()[1], programs.root / "trainer"
    finally:
        programs.close()


def answer(address: str, row: v1.Transition, name: str, source: str = "") -> v1.AppendResponse:
    stub = v1.ExperienceServiceStub(ready(address))
    message = session(name)
    message.source = source
    (one,) = stub.Append(iter([v1.AppendRequest(session=message, transitions=[row])]), timeout=DEADLINE_S)
    return one


def changed(row: v1.Transition, **fields: Any) -> v1.Transition:
    for name, value in fields.items():
        row.ClearField(name)
        row.MergeFrom(v1.Transition(**{name: value}))
    return row


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"u_requested": [2.0]}, "number 0 of u_requested is 2; it must be in [-1, 1]"),
        ({"u_requested": [-1.0001]}, "of u_requested is -1.0001"),
        ({"u_requested": [NAN]}, "of u_requested is nan"),
        ({"u_applied": [INF]}, "number 0 of u_applied is inf; it must be in [-10, 10]"),
        ({"u_applied": [-10.5]}, "of u_applied is -10.5"),
        ({"u_applied": [NAN]}, "of u_applied is nan"),
        ({"u_applied": []}, "u_applied has 0 numbers; allowed: (1,)"),
        ({"x": [0.0, INF, 0.0, 0.0]}, "number 1 of x is inf; a state is finite, or all NaN"),
        ({"x_next": [0.0, NAN, 0.0, 0.0]}, "number 1 of x_next is nan"),
        ({"x": [0.0]}, "x has 1 numbers"),
        ({"t_ns": -1}, "t_ns is -1; time begins at 0"),
        ({"action_source": 0}, "action_source is 0; it must be policy, fallback or human"),
        ({"action_source": 7}, "action_source is 7"),
        ({"purpose": 0}, "purpose must be collect or evaluate"),
        ({"purpose": 9}, "purpose must be collect or evaluate"),
        ({"end": 99}, "end is 99, which this version does not know"),
        ({"episode": 2**31}, "episode 2147483648"),
        ({"reason": "x" * 3000}, "at most 2000 letters"),
    ],
)
def test_what_the_proto_does_not_allow_is_refused_and_named(
    trainer: tuple[str, Path], fields: dict, told: str
) -> None:
    refused = answer(trainer[0], changed(transition(0), **fields), "refused")
    assert told in refused.refusal, refused
    assert refused.next_sequence == 0


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"u_applied": [1.7]}, ""),
        ({"u_applied": [-10.0], "u_requested": [1.0]}, ""),
        ({"u_requested": []}, ""),
        ({"x_next": [NAN] * 4}, ""),
        ({"u_requested": [3.0], "action_source": v1.ACTION_SOURCE_HUMAN}, ""),
        ({"u_requested": [3.0], "u_applied": [3.0], "action_source": 0}, "rig.csv"),
    ],
)  # fmt: skip
def test_what_real_motors_and_logs_say_is_taken(
    trainer: tuple[str, Path], fields: dict, source: str, request: pytest.FixtureRequest
) -> None:
    taken = answer(trainer[0], changed(transition(0), **fields), request.node.name, source)
    assert (taken.refusal, taken.next_sequence) == ("", 1)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "tab\there", "x" * 3000, ""])
def test_a_session_whose_name_would_steer_a_terminal_is_refused(trainer: tuple[str, Path], name: str) -> None:
    refused = answer(trainer[0], transition(0), name)
    assert refused.refusal
    assert refused.refusal.isprintable()
    assert len(refused.refusal) < 500


def test_the_same_again_is_acknowledged_and_another_under_its_number_refused(
    trainer: tuple[str, Path],
) -> None:
    assert answer(trainer[0], transition(0), "twice").next_sequence == 1
    assert answer(trainer[0], transition(0), "twice").next_sequence == 1
    other = answer(trainer[0], changed(transition(0), u_applied=[0.2]), "twice")
    assert "has another transition 0 than the one that came" in other.refusal
    assert stored(trainer[0], "twice") == [0]
    (row,) = TrainerClient(trainer[0]).transitions("twice", 0)
    np.testing.assert_allclose(row.u_applied, [0.1], atol=1e-6)


class Writer:
    """One `Append` stream."""

    def __init__(self, address: str, name: str) -> None:
        self._requests: queue.SimpleQueue[v1.AppendRequest | None] = queue.SimpleQueue()
        stub = v1.ExperienceServiceStub(ready(address))
        self._responses = stub.Append(iter(self._requests.get, None), timeout=DEADLINE_S)
        self._name = name

    def append(self, sequence: int, to: str) -> v1.AppendResponse:
        request = v1.AppendRequest(session=session(to), transitions=[transition(sequence)], writer=self._name)
        self._requests.put(request)
        return next(self._responses)

    def close(self) -> None:
        self._requests.put(None)
        list(self._responses)


@pytest.mark.parametrize("names", [("one", "two"), ("", "")])
def test_a_session_has_one_writer_at_a_time(trainer: tuple[str, Path], names: tuple[str, str]) -> None:
    to = f"written-{'-'.join(names)}"
    first, second = (Writer(trainer[0], name) for name in names)
    assert first.append(0, to).next_sequence == 1
    with pytest.raises(grpc.RpcError) as refused:
        second.append(1, to)
    assert refused.value.code() == grpc.StatusCode.ABORTED  # pyright: ignore[reportAttributeAccessIssue]
    assert "is being written by another program, at ipv4:127.0.0.1:" in str(refused.value)
    assert first.append(1, to).next_sequence == 2
    first.close()
    later = Writer(trainer[0], names[1])
    assert later.append(2, to).next_sequence == 3, "when one has ended, another may"
    later.close()


def test_a_writer_takes_over_from_its_own_broken_stream(trainer: tuple[str, Path]) -> None:
    half_open, again = Writer(trainer[0], "rig"), Writer(trainer[0], "rig")
    assert half_open.append(0, "over").next_sequence == 1
    assert again.append(1, "over").next_sequence == 2
    again.close()


def test_the_database_is_its_owners_alone(trainer: tuple[str, Path]) -> None:
    state = trainer[1]
    assert answer(trainer[0], transition(0), "private").next_sequence == 1
    mode = lambda path: stat.S_IMODE(path.stat().st_mode)  # noqa: E731
    files = ("hds.sqlite", "hds.sqlite-wal", "hds.sqlite-shm", "hds.sqlite.lock", ".lock")
    assert {name: mode(state / name) for name in files} == dict.fromkeys(files, 0o600)
    assert (mode(state), mode(state / "checkpoints")) == (0o700, 0o700)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_database_that_is_deleted_or_replaced_acknowledges_nothing_more(
    programs: Programs, how: str
) -> None:
    program, address = programs.trainer()
    path = programs.root / "trainer" / "hds.sqlite"
    writer = Writer(address, "rig")
    assert writer.append(0, "s1").next_sequence == 1
    path.rename(path.with_name("aside"))
    if how == "replaced":
        sqlite3.connect(path).close()
        path.touch()
    with pytest.raises(grpc.RpcError) as refused:
        writer.append(1, "s1")
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE  # pyright: ignore[reportAttributeAccessIssue]
    assert f"hds.sqlite was {how}" in str(refused.value)
    path.with_name("aside").rename(path)
    again = Writer(address, "rig")
    assert again.append(1, "s1").next_sequence == 2, "when it is back, it goes on"
    again.close()
    program.end()
    with open_database(sqlite_url(path)).connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM transitions")).scalar() == 2


def test_a_lost_write_ahead_file_is_noticed_and_nothing_is_lost(programs: Programs) -> None:
    program, address = programs.trainer()
    path = programs.root / "trainer" / "hds.sqlite"
    writer = Writer(address, "rig")
    assert writer.append(0, "s1").next_sequence == 1
    path.with_name("hds.sqlite-wal").unlink()
    with pytest.raises(grpc.RpcError, match=r"hds\.sqlite-wal was deleted"):
        writer.append(1, "s1")
    again = Writer(address, "rig")
    assert again.append(1, "s1").next_sequence == 2
    again.close()
    program.end()
    with open_database(sqlite_url(path)).connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM transitions")).scalar() == 2


def test_two_trainers_do_not_share_a_state_directory(programs: Programs) -> None:
    first, address = programs.trainer()
    second = programs.start("trainer", "serve", "--port", "0", "--state-dir", str(programs.root / "trainer"))
    assert second.process.wait(60.0) == 1
    assert f"is in use by process {first.process.pid}" in programs.said("trainer")
    assert TrainerClient(address).policies() == []


def test_two_trainers_do_not_share_a_database(programs: Programs, database: str) -> None:
    first, _ = programs.trainer("0", "--database", database)
    state = str(programs.root / "another")
    second = programs.start("trainer", "serve", "--port", "0", "--state-dir", state, "--database", database)
    assert second.process.wait(60.0) == 1
    said = programs.said("trainer")
    assert (
        f"is in use by {'process' if database.startswith('sqlite') else 'hds-trainer'} {first.process.pid}"
        in said
    )
    assert "give each trainer its own --database" in said
    first.end()
    programs.start("trainer", "serve", "--port", "0", "--state-dir", state, "--database", database).address(
        60.0
    )


def test_a_state_directory_may_have_any_name(programs: Programs, tmp_path: Path) -> None:
    state = tmp_path / "what? 100%20, a#b & ü"
    program = programs.start("trainer", "serve", "--port", "0", "--state-dir", str(state))
    assert answer(program.address(60.0), transition(0), "s1").next_sequence == 1
    assert (state / "hds.sqlite").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("what")] == [state.name]


def test_the_audit_trail_says_who_and_from_where(programs: Programs, tmp_path: Path) -> None:
    from tests.support.sites import Site

    site = Site(tmp_path)
    site.client("alice", "admin", "log")
    _, address = programs.trainer("0", *site.with_tokens())
    client = TrainerClient(address, site.client("alice"))
    message = session("imported")
    message.source = "rig.csv"
    client.append([v1.AppendRequest(session=message, transitions=[transition(0)])])
    client.call(client.experience.TagSession, v1.TagSessionRequest(session="imported", tag="cold"))
    client.call(client.experience.ForgetSessions, v1.ForgetSessionsRequest(sessions=["imported"]))
    rows = list(client.audit())
    assert [row.action for row in rows] == ["forget", "tag", "import"], "newest first"
    assert {row.actor for row in rows} == {"token 'alice'"}
    assert all(row.peer.startswith("ipv4:127.0.0.1:") for row in rows)
    words = ["--trainer", address, *site.client("alice").arguments()]
    listed = asked("audit", "--last", "2", *words).stdout.splitlines()
    assert len(listed) == 2
    assert "forget imported  by token 'alice' from ipv4:127.0.0.1:" in listed[0]
    assert listed[1].endswith("tag cold")
    told = [json.loads(line) for line in asked("audit", "--json", *words).stdout.splitlines()]
    assert [(one["action"], one["detail"]) for one in told] == [
        ("forget", {"transitions": 1}), ("tag", {"tag": "cold"}), ("import", {"source": "rig.csv"}),
    ]  # fmt: skip
    assert "--last must be at least 0; got -1" in asked("audit", "--last", "-1", *words).stderr


def test_the_audit_trail_comes_in_pages_without_gaps_or_doubles(database: str) -> None:
    engine = open_database(database)
    with writing(engine) as connection:
        for number in range(25):
            audit(connection, "tag", f"s{number}", tag="x")
    found, before = [], None
    while rows := audit_rows(engine, before, 10):
        found += [row.resource for row in rows]
        before = rows[-1].id
    assert found == [f"s{number}" for number in reversed(range(25))]


def test_many_writers_of_one_session_store_each_number_once(trainer: tuple[str, Path]) -> None:
    found, together = queue.SimpleQueue(), threading.Barrier(8)

    def write(k: int) -> None:
        stub = v1.ExperienceServiceStub(ready(trainer[0]))
        row = changed(transition(0), u_applied=[0.01 * k])
        request = v1.AppendRequest(session=session("race"), transitions=[row])
        together.wait()
        try:
            (one,) = stub.Append(iter([request]), timeout=DEADLINE_S)
            found.put("taken" if not one.refusal else "refused")
        except grpc.RpcError as error:
            found.put(error.code().name)  # pyright: ignore[reportAttributeAccessIssue]

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = sorted(found.get() for _ in threads)
    assert outcomes.count("taken") == 1
    assert set(outcomes) <= {"taken", "refused", "ABORTED"}
    assert stored(trainer[0], "race") == [0]
