"""What import and forget say is what is stored, also when a file is refused or the line breaks."""

import contextlib
import re
import socket
import threading
from pathlib import Path

from protos.hds import v1
from tests.support.plain import TASK, session, transition
from tests.support.programs import Programs, asked
from trainer.client import TrainerClient
from trainer.transfer import mcap_file
from trainer.transfer.recording import Recording


class CutLine:
    """A line to a server that is cut once `most` bytes went to it."""

    def __init__(self, server: str, most: int) -> None:
        host, port = server.split(":")
        self._server, self._left = (host, int(port)), most
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        self._listener.close()
        with client, socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._copy_back, args=(server, client), daemon=True)
            back.start()
            while self._left > 0 and (data := client.recv(4096)):
                server.sendall(data)
                self._left -= len(data)
            for line in (client, server):
                line.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _copy_back(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the line may be cut while it reads
            while data := server.recv(4096):
                client.sendall(data)


def recording(name: str, steps: int, task: str = TASK) -> Recording:
    summary = v1.SessionSummary(session=session(name, task=task), tags=["cold"])
    return Recording(summary, [transition(sequence) for sequence in range(steps)])


def written(path: Path, *found: Recording) -> str:
    mcap_file.write(path, found)
    return str(path)


def stored(client: TrainerClient) -> dict[str, int]:
    return {s.session.id: s.steps for s in client.sessions(v1.Selection())}


def imported(*words: str) -> str:
    ended = asked("import", *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def another_number() -> Recording:
    found = recording("known", 5)
    found.transitions[3].x[1] += 1.0
    return found


def another_plant() -> Recording:
    found = recording("new-2", 5)
    found.summary.session.plant.control_dt_s = 0.05
    return found


def another_size() -> Recording:
    found = recording("new-2", 5)
    found.transitions[3].x.append(1.0)
    return found


def another_rig() -> Recording:
    found = recording("known", 5)
    found.summary.session.plant.name = "rig"
    return found


def test_nothing_is_stored_of_a_file_of_which_a_later_session_is_refused(
    programs: Programs, tmp_path: Path
) -> None:
    _, address = programs.trainer()
    client = TrainerClient(address)
    client.append([v1.AppendRequest(session=session("known"), transitions=recording("known", 5).transitions)])
    for refused, why in (
        (another_number(), "the trainer has another session 'known', which differs in transition 3"),
        (another_rig(), "the trainer has another session 'known', with the plant name: \"test\""),
        (another_plant(), "session new-2 can't be stored: plant 'test' does not fit task"),
        (another_size(), "session new-2 can't be stored: transition 3: x has 5 numbers; allowed: (4,)"),
        (recording("new-2", 5, task="juggling"), "session new-2 can't be stored: unknown task 'juggling'"),
    ):
        file = written(tmp_path / "two.mcap", recording("new", 5), refused)
        ended = asked("import", file, "--trainer", address)
        assert ended.returncode == 1
        assert why in ended.stderr
        assert ended.stderr.endswith("; nothing of the file was stored\n")
        assert not ended.stdout
        assert stored(client) == {"known": 5}
    ended = asked("import", file, "--tag", " ", "--trainer", address)
    assert "--tag is ' '; a tag must not be empty" in ended.stderr


def test_an_import_that_breaks_off_says_what_is_stored_and_a_second_one_completes_it(
    programs: Programs, tmp_path: Path
) -> None:
    _, address = programs.trainer()
    client, long = TrainerClient(address), recording("long", 4000)
    file = written(tmp_path / "two.mcap", recording("short", 10), long)
    size = sum(row.ByteSize() for row in long.transitions)
    ended = asked("import", file, "--trainer", CutLine(address, size // 2).address)
    assert ended.returncode == 1
    assert "session short: 10 of 10 transitions stored" in ended.stdout
    found = re.search(
        r"it acknowledged (\d+) of the 4000 transitions that it lacked of session long; 1 of the file's 2 "
        "sessions are stored with their tags; once that is mended, import the file again to store the rest",
        ended.stderr,
    )
    assert found, ended.stderr
    again = imported(file, "--trainer", address)
    assert "session short: 0 of 10 transitions stored; the trainer had them" in again
    rest = re.search(r"session long: (\d+) of 4000 transitions stored(?:; the trainer had (\d+))?\n", again)
    assert rest, again
    reached = int(rest[2] or 0)  # what was on its way may have been committed after the break
    assert int(found[1]) <= reached < 4000
    assert int(rest[1]) == 4000 - reached
    assert stored(client) == {"short": 10, "long": 4000}
    assert "session long has the tags 'cold'" in again


def test_what_was_forgotten_is_not_said_to_be_there_and_does_not_come_back(
    programs: Programs, tmp_path: Path
) -> None:
    _, address = programs.trainer()
    client, file = TrainerClient(address), written(tmp_path / "a.mcap", recording("s", 4))
    imported(file, "--trainer", address)
    shown = asked("forget", "--data.sessions", "s", "--trainer", address)
    assert "s  4 transitions" in shown.stdout
    gone = asked("forget", "--data.sessions", "s", "--yes", "--trainer", address)
    assert "deleted 4 transitions of 1 sessions; they are not stored again" in gone.stdout
    again = imported(file, "--tag", "new", "--trainer", address)
    assert "session s: 0 of 4 transitions stored; 4 were forgotten, and are not stored again\n" in again
    assert "tags" not in again
    assert not stored(client)
    whole = recording("s", 10)
    client.append([v1.AppendRequest(session=whole.summary.session, transitions=whole.transitions[:6])])
    longer = imported(written(tmp_path / "b.mcap", whole), "--trainer", address)
    assert "session s: 4 of 10 transitions stored; the trainer had 2; 4 were forgotten" in longer
    rest = str(tmp_path / "rest.mcap")
    assert asked("export", rest, "--trainer", address).returncode == 0
    other = Programs(tmp_path / "other")
    try:
        _, there = other.trainer()
        ended = asked("import", rest, "--trainer", there)
        assert (
            "begins with transition 4 in the file, as one does whose beginning was forgotten" in ended.stderr
        )
    finally:
        other.close()


def test_an_export_of_a_policy_that_never_acted_writes_no_file(programs: Programs, tmp_path: Path) -> None:
    _, address = programs.trainer()
    rows = [transition(sequence) for sequence in range(4)]
    TrainerClient(address).append([v1.AppendRequest(session=session("s"), transitions=rows)])
    out = tmp_path / "out.mcap"
    ended = asked("export", str(out), "--data.policies", "v9", "--trainer", address)
    assert "no session is selected" in ended.stderr
    assert not out.exists()
    assert asked("export", str(out), "--data.policies", "v1", "--trainer", address).returncode == 0


def test_the_note_on_an_export_without_checksums_is_printed(programs: Programs, tmp_path: Path) -> None:
    from mcap_protobuf.writer import Writer

    _, address = programs.trainer()
    path, (summary, rows) = tmp_path / "old.mcap", recording("s", 3)
    with path.open("wb") as file, Writer(file) as writer:
        writer.write_message(mcap_file.SESSIONS, summary, 0, 0)
        for row in rows:
            writer.write_message(f"/s{mcap_file.TRANSITION}", row, row.t_ns, row.t_ns)
    said = imported(str(path), "--trainer", address)
    assert f"{path} has no checksum of its contents" in said
    assert "session s: 3 of 3 transitions stored" in said
