"""Experience into files and back, through a running trainer and the commands that a user types."""

import contextlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.spaces import Box
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from minari.data_collector import EpisodeBuffer

from protos.hds import v1
from tests.pendulum_logs import noisy, swing, write
from tests.support.plain import session
from tests.support.programs import Programs, asked
from trainer.client import TrainerClient
from trainer.transfer.exchange import recordings

KINDS = {"parquet": "out.parquet", "mcap": "out.mcap", "minari": "datasets"}


def awkward(sequence: int, name: str) -> v1.Transition:
    """A transition with all that is hard to keep: NaN, denormals, -0, no request, texts, jumps."""
    chance = np.random.default_rng(sequence + len(name))
    hard = [3.4e38, 1e-45, -0.0, -10.0] if sequence % 8 < 4 else [np.nan] * 4
    x = chance.normal(size=4).astype(np.float32)
    return v1.Transition(
        sequence=sequence,
        episode=sequence // 4,
        purpose=v1.PURPOSE_EVALUATE if sequence // 4 == 1 else v1.PURPOSE_COLLECT,
        x=x,
        u_requested=[] if sequence % 3 == 0 else [chance.uniform(-1.0, 1.0)],
        u_applied=[[10.0, 1e-45, -0.0, -10.0][sequence % 4]],
        x_next=chance.normal(size=4) if sequence % 4 < 3 else hard,
        t_ns=40_000_000 * sequence + 1,
        terminated=sequence == 3,
        truncated=sequence == 7,
        policy_version="" if sequence % 3 == 0 else f"v{sequence % 2}",
        action_source=v1.ACTION_SOURCE_FALLBACK if sequence % 3 == 0 else v1.ACTION_SOURCE_POLICY,
        reason="late; «jitter»" if sequence % 3 == 0 else "",
    )


def bytes_of(client: TrainerClient) -> dict[str, list[bytes]]:
    """Every transition by session, to the last bit."""
    found = recordings(client, client.sessions(v1.Selection()))
    return {
        recording.summary.session.id: [
            row.SerializeToString(deterministic=True) for row in recording.transitions
        ]
        for recording in found
    }


@pytest.fixture
def filled(programs: Programs) -> str:
    """The address of a trainer that has two sessions."""
    return with_two_sessions(programs)


@pytest.fixture(scope="module")
def only_read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of such a trainer for tests that change nothing there."""
    programs = Programs(tmp_path_factory.mktemp("only-read"))
    try:
        yield with_two_sessions(programs)
    finally:
        programs.close()


def with_two_sessions(programs: Programs) -> str:
    _, address = programs.trainer()
    client = TrainerClient(address)
    for name, count in (("s1", 12), ("rig-2", 5)):
        rows = [awkward(sequence, name) for sequence in range(count)]
        client.append([v1.AppendRequest(session=session(name), transitions=rows)])
    client.call(client.experience.TagSession, v1.TagSessionRequest(session="s1", tag="cold"))
    return address


def command(*words: str) -> str:
    ended = asked(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_exported_and_imported_is_the_same_to_the_last_bit(
    only_read: str, tmp_path: Path, kind: str
) -> None:
    out = str(tmp_path / KINDS[kind])
    assert "2 sessions, 17 transitions" in command("export", out, "--kind", kind, "--trainer", only_read)
    other = Programs(tmp_path / "other")
    try:
        _, address = other.trainer()
        assert "session s1: 12 of 12 transitions stored" in command("import", out, "--trainer", address)
        assert "session s1: 0 of 12 transitions stored" in command("import", out, "--trainer", address)
        here, there = TrainerClient(only_read), TrainerClient(address)
        assert bytes_of(there) == bytes_of(here)
        summaries = [{s.session.id: s for s in c.sessions(v1.Selection())} for c in (here, there)]
        for name, summary in summaries[0].items():
            assert summaries[1][name].session == summary.session
            assert list(summaries[1][name].tags) == list(summary.tags)
            assert summaries[1][name].evaluate_s == summary.evaluate_s
    finally:
        other.close()


def test_a_selection_is_exported_and_a_part_of_a_session_is_not_imported(
    only_read: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "part.parquet")
    assert "1 sessions, 12 transitions" in command(
        "export", out, "--data.tags", "cold", "--trainer", only_read
    )
    again = asked("export", out, "--trainer", only_read)
    assert "is there already; choose another name" in again.stderr
    nothing = asked("export", str(tmp_path / "x.mcap"), "--data.tags", "hot", "--trainer", only_read)
    assert "no session is selected" in nothing.stderr
    assert not (tmp_path / "x.mcap").exists()


def test_another_session_of_the_same_name_is_refused(only_read: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out.parquet")
    command("export", out, "--trainer", only_read)
    other = Programs(tmp_path / "other")
    try:
        _, address = other.trainer()
        client = TrainerClient(address)
        rows = [awkward(sequence, "another") for sequence in range(3)]
        client.append([v1.AppendRequest(session=session("s1"), transitions=rows)])
        ended = asked("import", out, "--trainer", address)
        assert ended.returncode == 1
        assert "the trainer has another session 's1', which differs in transition 0" in ended.stderr
        assert len(bytes_of(client)["s1"]) == 3
    finally:
        other.close()


def test_the_files_libraries_read_what_was_exported(only_read: str, tmp_path: Path) -> None:
    for kind, name in KINDS.items():
        command("export", str(tmp_path / name), "--kind", kind, "--trainer", only_read)
    table = pq.read_table(tmp_path / KINDS["parquet"])
    assert table.num_rows == 17
    assert table.column("x_next").to_pylist()[0] == pytest.approx(list(awkward(0, "s1").x_next))
    with (tmp_path / KINDS["mcap"]).open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        messages = list(reader.iter_decoded_messages(topics=["/s1/transition"]))
    assert [message.decoded_message.sequence for message in messages] == list(range(12))
    assert messages[1].message.log_time - messages[0].message.log_time == 40_000_000
    dataset = minari.MinariDataset(tmp_path / "datasets" / "hds" / "cartpole_swingup-v0" / "data")
    assert [len(episode.actions) for episode in dataset] == [4, 4, 4, 4, 1]
    assert dataset[0].observations.shape == (5, 4)
    assert dataset[0].terminations.tolist() == [False, False, False, True]
    cart, pole, speed, spin = awkward(2, "s1").x  # applied was -0
    r = (np.cos(pole) - 1, np.sin(pole), 0.3 * cart, 0.03 * speed, 0.03 * spin)
    assert dataset[0].rewards[2] == pytest.approx(-0.5 * np.sum(np.square(r)), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"nonsense", "is no Parquet file"),
        ("a.mcap", b"nonsense", "is no MCAP file, or a damaged one"),
        ("a.xyz", b"", "can't tell what it is by its name; known are .csv, "),
        ("a.csv", b"time,position\n", "a CSV file needs --task"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    only_read: str, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    ended = asked("import", str(tmp_path / name), "--trainer", only_read)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) <= 3
    assert len(bytes_of(TrainerClient(only_read))) == 2


def test_a_log_is_imported_once_and_learned_from_like_any_session(programs: Programs, tmp_path: Path) -> None:
    _, address = programs.trainer()
    log = write(tmp_path / "rig.csv", noisy(swing(0, seconds=3.0), 0))
    words = ["import", str(log), "--task", "pendulum", "--tag", "rig", "--trainer", address]
    assert "1 stretches, 59 control steps, 2.95 s" in command(*words)
    assert "0 of 59 transitions stored; the trainer had them" in command(*words)
    told = json.loads(command("experience", "--json", "--trainer", address))
    (found,) = told["sessions"]
    assert (found["source"], found["tags"], found["collect_s"]) == ("rig.csv", ["rig"], pytest.approx(2.95))
    bad = tmp_path / "bad.csv"
    bad.write_text(log.read_text() + "3.0,x,0,0\n")
    ended = asked("import", str(bad), "--task", "pendulum", "--trainer", address)
    assert "bad.csv, line 1502: 'position' is 'x', no number" in ended.stderr
    assert len(TrainerClient(address).sessions(v1.Selection())) == 1


def test_tables_and_datasets_of_other_makers_are_logs(programs: Programs, tmp_path: Path) -> None:
    _, address = programs.trainer()
    rows, words = swing(0, seconds=3.0), ["--task", "pendulum", "--trainer", address]
    table = {name: rows[:, i] for i, name in enumerate(("time", "position", "velocity", "torque"))}
    pq.write_table(pa.table(table), tmp_path / "rig.parquet")
    csv = command("import", str(write(tmp_path / "rig.csv", rows)), *words)
    assert "59 of 59 transitions stored" in csv
    same = command("import", str(tmp_path / "rig.parquet"), *words)
    name = csv.split("session ")[1].split(":")[0]
    assert f"session {name}: 0 of 59" in same, "the same log in another file is the same session"
    x, u = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32), np.zeros((4, 1), np.float32)
    episode: Any = EpisodeBuffer(
        id=0,
        observations=list(x),
        actions=list(u),
        rewards=[0.0] * 4,
        terminations=[False] * 4,
        truncations=[False] * 4,
    )
    spaces: Any = {"observation_space": Box(-9, 9, (2,)), "action_space": Box(-1, 1, (1,))}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "theirs"))
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers("theirs/swing-v0", [episode], **spaces)
    theirs = str(tmp_path / "theirs")
    assert "4 of 4 transitions stored" in command("import", theirs, *words)
    wrong = asked("import", theirs, "--task", "cartpole_swingup", "--trainer", address)
    assert (
        "the observation space is a Box of shape (2,); task cartpole_swingup needs a Box of 4: "
        in wrong.stderr
    )
    unknown = asked("import", theirs, "--trainer", address)
    assert "was not exported by HDS (its metadata lack 'hds_recordings'); give --task" in unknown.stderr


def test_an_export_that_is_killed_leaves_no_file_of_that_name(filled: str, tmp_path: Path) -> None:
    client = TrainerClient(filled)
    rows = [awkward(sequence, "many") for sequence in range(400)]
    for number in range(30):
        client.append([v1.AppendRequest(session=session(f"many-{number}"), transitions=rows)])
    out = tmp_path / "out.mcap"
    line = [sys.executable, "-m", "trainer", "export", str(out), "--trainer", filled]
    with subprocess.Popen(line, env=dict(os.environ)) as process:
        while not list(tmp_path.glob(".out.mcap.unfinished")):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.002)
                break
        process.kill()
    assert not out.exists()


def test_experience_is_told_tagged_and_forgotten(filled: str, tmp_path: Path) -> None:
    told = json.loads(command("experience", "--json", "--trainer", filled))
    first = next(found for found in told["sessions"] if found["session"] == "s1")
    assert [row["purpose"] for row in first["episodes"]] == ["collect", "evaluate", "collect"]
    assert first["episodes"][0]["terminated"]
    assert first["episodes"][1]["policies"] == ["v0", "v1"]
    assert first["fallback_steps"] == 4
    assert "s1" in command("experience", "--episodes", "--trainer", filled)
    assert "rig-2 has the tag 'new'" in command("tag", "rig", "new", "--trainer", filled)
    wrong = asked("tag", "x", "new", "--trainer", filled)
    assert "no session begins with 'x'" in wrong.stderr
    assert "5 transitions" in command("forget", "--data.tags", "new", "--trainer", filled)
    assert len(bytes_of(TrainerClient(filled))) == 2
    assert "deleted 5 transitions" in command("forget", "--data.tags", "new", "--yes", "--trainer", filled)
    assert list(bytes_of(TrainerClient(filled))) == ["s1"]
    everything = asked("forget", "--yes", "--trainer", filled)
    assert "say which: --data.sessions" in everything.stderr


@pytest.fixture
def version(publish: Callable[..., str]) -> str:
    """A published policy."""
    return publish()


def test_a_backup_of_a_running_trainer_restores_into_either_database(
    version: str, filled: str, tmp_path: Path, database: str
) -> None:
    state = ["--state-dir", str(tmp_path / "trainer")]
    command("backup", "--out", str(tmp_path / "backup"), *state)
    other, where = Programs(tmp_path / "other"), str(tmp_path / "other" / "trainer")
    try:
        command("restore", str(tmp_path / "backup"), "--state-dir", where, "--database", database)
        _, address = other.trainer("0", "--database", database)
        here, there = TrainerClient(filled), TrainerClient(address)
        assert bytes_of(there) == bytes_of(here)
        assert [policy.version for policy in there.policies()] == [version]
        there.append([v1.AppendRequest(session=session("new"), transitions=[awkward(0, "new")])])
        command("tag", "new", "x", "--trainer", address)
        command("forget", "--data.tags", "x", "--yes", "--trainer", address)  # adds to the audit trail
    finally:
        other.close()
    again = asked("restore", str(tmp_path / "backup"), "--state-dir", where)
    assert "is not empty; nothing is overwritten" in again.stderr
