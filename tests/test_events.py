"""Events of `hds-real-env --events`, one JSON object per line, whoever tells them."""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from real_env.events import Events
from tests.support.programs import STILL, Programs, run


def test_events_of_many_threads_never_share_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    events, gate = Events(as_json=True), threading.Barrier(8)

    def tell(thread: int) -> None:
        gate.wait()
        for number in range(200):
            events.emit("progress", thread=thread, number=number)

    threads = [threading.Thread(target=tell, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {(event["thread"], event["number"]) for event in told} == {
        (i, n) for i in range(8) for n in range(200)
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("as_json", [False, True])
def test_messages_and_events_that_cannot_be_written_stop_nothing(
    as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where both go to a file on a disk that is full."""
    with open("/dev/full", "w") as out, open("/dev/full", "w") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        events = Events(as_json)
        for number in range(1000):
            events.say(f"something happened {number} times")
            events.emit("progress", share=0.5)
        monkeypatch.undo()
        for stream in (out, err):  # nothing of it is to be written when they are closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_a_run_whose_reader_is_gone_lets_the_plant_go_and_ends_in_order(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish()
    trainer, _, controller = programs.both()
    driving = programs.start(
        "real_env", "run", "--plant", STILL, "--collect", "1000", "--episode-seconds", "0.4", "--events",
        "--controller", controller, "--trainer", trainer, "--spool", str(tmp_path / "spool.sqlite"),
    )  # fmt: skip
    next(event for event in driving.events(60.0) if event["event"] == "progress")
    descriptor = driving.process.stdout
    assert descriptor is not None
    os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor.fileno())  # closes the only end that is read
    assert driving.process.wait(30.0) == 1
    assert "Traceback" not in programs.said("real_env")
    words = ["--plant", STILL, "--collect", "0.4", "--controller", controller, "--trainer", trainer]
    again = run("real_env", "run", *words, "--spool", str(tmp_path / "spool.sqlite"))
    assert again.returncode == 0, "the stop is not latched, and rig and spool are free"
