"""What every program needs to run unattended: supervision, the log, locks, private files, foreign text."""

import asyncio
import io
import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from protos.operation import log, supervisor
from protos.operation.lock import InUse, acquire
from protos.operation.log import Formatter, LimitedHandler, RepeatLimit
from protos.operation.private import private_directory, private_file
from protos.operation.supervisor import Failures, Supervisor, start_supervised_thread
from protos.operation.text import listed, printable, shortened

LOG = logging.getLogger("test")


def test_work_that_fails_is_begun_anew_and_told_until_it_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    began, told = [], []

    async def work() -> None:
        began.append(len(began))
        if len(began) < 4:
            raise FileNotFoundError("ca.pem")

    async def run() -> list[str]:
        kept = Supervisor(LOG, Failures(told.append))
        kept.start("following", work)
        while len(began) < 2:
            await asyncio.sleep(0)
        seen = kept.failures.messages()
        while len(began) < 4:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not kept.failures.messages(), "it is done"
        await kept.end()
        return seen

    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 1e-3)
    seen = asyncio.run(run())
    assert told == ["following"] * 3
    assert seen[0].startswith("following failed (FileNotFoundError: ca.pem)")


def test_an_error_that_nothing_mends_ends_the_service_and_others_do_not() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def run() -> None:
        kept = Supervisor(LOG, Failures(), final=(LookupError,))
        kept.start("one", lambda: fail(RuntimeError("mends itself")))
        kept.start("other", lambda: fail(LookupError("does not")))
        try:
            await kept.until(asyncio.Event())
        finally:
            await kept.end()

    with pytest.raises(LookupError, match="does not"):
        asyncio.run(run())


def test_a_thread_that_fails_is_begun_anew_until_it_is_to_end() -> None:
    began, said, ended = [], [], threading.Event()

    def work() -> None:
        began.append(0)
        if len(began) == 3:
            ended.set()
        raise ZeroDivisionError("x")

    start_supervised_thread("uplink", work, ended, said.append).join(timeout=10.0)
    assert len(began) == 3
    assert said[0] == "uplink failed (ZeroDivisionError: x), and is restarted"


def test_waits_double_up_to_a_bound() -> None:
    waits = supervisor.back_off(1.0)
    assert [round(next(waits), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("rig 1", "rig 1"), ("grüße, 測試", "grüße, 測試"), ("a\nb", r"a\nb"), ("\x1b[31mred", r"\x1b[31mred"),
     ("\x9b2J", r"\x9b2J"), ("right\u202eleft", r"right\u202eleft"), ("\rover", r"\rover")],
)  # fmt: skip
def test_what_would_steer_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_texts_and_lists_have_bounds_and_say_what_is_left_out() -> None:
    assert shortened("x" * 10, 4) == "xxxx… (6 more letters)"
    assert shortened("xxxx", 4) == "xxxx"
    assert listed([]) == "none yet"
    assert listed([str(i) for i in range(12)], 2) == "10, 11, and 10 earlier ones"


def written(handler: logging.StreamHandler, *records: tuple[str, tuple]) -> list[str]:
    handler.setStream(io.StringIO())
    handler.setFormatter(Formatter("%(levelname)s %(message)s"))
    for words, arguments in records:
        handler.handle(logging.LogRecord("test", logging.WARNING, "", 0, words, arguments, None))
    return handler.stream.getvalue().splitlines()


def test_no_client_makes_a_line_of_the_log() -> None:
    lines = written(LimitedHandler(), ("%r and %s", ("a", "\x1b[2Jx\n2026 controller ERROR forged")))
    assert lines == [r"WARNING 'a' and \x1b[2Jx\n2026 controller ERROR forged"]


def test_a_traceback_keeps_its_lines_but_not_a_clients_escapes() -> None:
    try:
        raise ValueError("\x1b[31m")
    except ValueError:
        record = logging.LogRecord("test", logging.ERROR, "", 0, "it failed", (), sys.exc_info())
    lines = Formatter("%(message)s").format(record).splitlines()
    assert lines[:2] == ["it failed", "Traceback (most recent call last):"]
    assert lines[-1] == r"ValueError: \x1b[31m"


def test_a_line_that_repeats_is_counted_instead_of_written() -> None:
    now = [0.0]
    handler = LimitedHandler(RepeatLimit(3, 60.0, lambda: now[0]))
    lines = written(handler, *[("disk is full for %d", (i,)) for i in range(100)], ("another", ()))
    assert [line.split()[-1] for line in lines] == ["0", "1", "2", "another"]
    now[0] = 61.0
    lines = written(handler, ("disk is full for %d", (100,)))
    assert lines == [
        "WARNING 97 more lines like 'disk is full for %d' were left out", "WARNING disk is full for 100",
    ]  # fmt: skip


def test_kinds_of_lines_do_not_fill_the_memory() -> None:
    limit = RepeatLimit()
    assert all(limit.take(i) for i in range(10 * log.KINDS))
    assert len(limit._seen) <= log.KINDS


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    script = (
        "import sys; from pathlib import Path; from protos.operation.lock import acquire; "
        "held = acquire(Path(sys.argv[1]), 'the spool', ''); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(
        InUse, match=f"the spool is in use by process {other.pid} on .* since .*; give another"
    ):
        acquire(path, "the spool", "give another")
    other.kill()
    other.communicate()
    held = acquire(path, "the spool", "")
    assert f"process {os.getpid()}" in path.read_text()
    held.release()
    acquire(path, "the spool", "").release()


def test_what_is_made_is_for_its_owner_and_what_was_there_stays_open(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_directory(tmp_path / "a" / "b")
    private_file(tmp_path / "a" / "kept")
    loose = tmp_path / "loose"
    loose.touch(0o644)
    private_file(loose)
    mode = lambda path: stat.S_IMODE(path.stat().st_mode)  # noqa: E731
    assert mode(tmp_path) == 0o755
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)
    assert (mode(tmp_path / "a" / "kept"), mode(loose)) == (0o600, 0o600)
