"""Events of `hds-real-env --events`, one JSON object per line, whoever tells them."""

import json
import threading

import pytest

from real_env.events import Events


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
