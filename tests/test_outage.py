"""A controller that is killed and started again in the middle of an episode."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protos.hds import v1
from tests.support.programs import START_S, STILL, Programs, free_port, kill, run
from tests.support.streams import eventually
from trainer.client import CallFailed, TrainerClient


@pytest.mark.parametrize("fallback", ["zero", "hold"])
def test_the_plant_falls_back_within_a_tick_and_is_driven_again_and_nothing_is_lost(
    fallback: str, programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    version = publish(seed=1)
    _, trainer = programs.trainer()
    port = free_port()
    program, controller = programs.controller(trainer, port=port)
    driving = programs.start(
        "real_env", "run", "--plant", STILL, "--collect", "1000", "--episode-seconds", "1000", "--real-time",
        "--max-misses", "100000", "--fallback", fallback, "--events", "--controller", controller,
        "--trainer", trainer, "--spool", str(tmp_path / "spool.sqlite"),
    )  # fmt: skip
    session = next(event for event in driving.events(60.0) if event["event"] == "ready")["session"]
    client = TrainerClient(trainer)

    def rows() -> list[v1.Transition]:
        try:
            return client.transitions(session, 0)
        except CallFailed:
            return []  # not stored yet

    eventually(lambda: len(rows()) > 25)
    kill(program)
    eventually(lambda: sum(row.action_source == v1.ACTION_SOURCE_FALLBACK for row in rows()[-5:]) == 5)
    programs.controller(trainer, port=port)
    eventually(lambda: sum(row.policy_version == version for row in rows()[-25:]) == 25)
    driving.ask_to_end()
    driving.process.wait(10.0)
    found = rows()
    assert [row.sequence for row in found] == list(range(len(found))), "no tick is missing"
    assert [row.t_ns for row in found] == [found[0].t_ns + 40_000_000 * k for k in range(len(found))]
    sources = [row.action_source for row in found]
    assert set(sources) == {v1.ACTION_SOURCE_POLICY, v1.ACTION_SOURCE_FALLBACK}
    for row in found:
        if row.action_source == v1.ACTION_SOURCE_FALLBACK:
            assert row.reason
            assert not row.u_requested
        else:
            assert row.policy_version == version


def test_a_dead_controller_latches_a_stop_that_needs_an_explicit_reset(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(seed=1)
    trainer, program, address = programs.both()
    spool = tmp_path / "spool.sqlite"
    words = ["run", "--plant", STILL, "--controller", address, "--trainer", trainer]
    words += ["--spool", str(spool)]
    driving = programs.start(
        "real_env", *words, "--collect", "1000", "--real-time", "--events",
        "--episode-seconds", "0.4", "--max-misses", "5",
    )  # fmt: skip
    for event in driving.events(60.0):
        if event["event"] == "progress":
            break
    kill(program)
    assert driving.process.wait(START_S) == 1
    _, address = programs.controller(trainer)
    words[words.index("--controller") + 1] = address
    refused = run("real_env", *words, "--collect", "0.4")
    assert refused.returncode == 2
    assert "5 consecutive answers were missed" in refused.stderr
    assert "--reset-stop" in refused.stderr
    assert run("real_env", *words, "--collect", "0.4", "--reset-stop").returncode == 0
    again = run("real_env", *words, "--collect", "0.4")
    assert (again.returncode, "ticks late by p50" in again.stderr) == (0, True)
