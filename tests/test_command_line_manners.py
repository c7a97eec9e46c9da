"""What a command line owes who types: the version, readers that leave early, bounds, narrow terminals."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import Programs, run
from trainer.report.experience_table import experience_rows
from trainer.report.lines import row

MODULES = {
    "trainer": "hds-trainer",
    "controller": "hds-controller",
    "real_env": "hds-real-env",
    "trainer.demo": "hds-demo",
}


@pytest.mark.parametrize("module", MODULES)
def test_every_program_tells_its_version(module: str) -> None:
    told = run(module, "--version")
    assert (told.returncode, told.stdout) == (0, f"{MODULES[module]} 0.1.0\n")


@pytest.mark.parametrize(
    "words",
    [("trainer", "experience", "--help"), ("controller", "serve", "--help"), ("real_env", "run", "--help"),
     ("trainer.demo", "--help")],
)  # fmt: skip
def test_a_reader_that_has_seen_enough_is_no_error(words: tuple[str, ...]) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.read(1)
    program.stdout.close()
    said = program.stderr.read().decode()
    assert (program.wait(60.0), "Traceback" in said, "BrokenPipe" in said) == (0, False, False), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trainer", "serve", "--port", "99999"), "--port must be in [0, 65535]; got 99999"),
        (("trainer", "serve", "--port", "-1"), "--port must be in [0, 65535]; got -1"),
        (("controller", "serve", "--port", "65536"), "--port must be in [0, 65535]; got 65536"),
        (("controller", "serve", "--metrics-port", "70000"), "--metrics-port must be in [0, 65535]"),
        (("controller", "serve", "--trainer", "here"), "'here' is no address; give host:port"),
        (("controller", "describe", "--controller", "127.0.0.1:0"), "the port of 127.0.0.1:0 must be in"),
        (("trainer", "policies", "--trainer", "127.0.0.1:99999"), "must be in [1, 65535]; got 99999"),
        (("real_env", "run", "--collect", "1", "--plant", "tests/plants/still.py:Still", "--trainer", "x:y"),
         "'x:y' is no address"),
    ],
)  # fmt: skip
def test_ports_and_addresses_have_bounds(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    module, command, *rest = words
    state = ["--state-dir", str(tmp_path / "state")] if command == "serve" else []
    spool = ["--spool", str(tmp_path / "s.sqlite")] if module == "real_env" else []
    refused = run(module, command, *rest, *state, *spool)
    assert refused.returncode in {1, 2}
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3


def test_completion_of_the_shell_is_written(tmp_path: Path) -> None:
    for module in ("trainer", "controller", "real_env"):
        path = tmp_path / f"{module}.bash"
        run(module, "--tyro-write-completion", "bash", str(path))
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
        assert MODULES[module] in path.read_text()


def test_rows_are_broken_between_their_parts_to_fit_a_terminal() -> None:
    parts = ("3f2a", "a" * 40, "b" * 40, "", "c\x1b[2J")
    assert row(parts, 10**6) == "3f2a  " + "a" * 40 + "  " + "b" * 40 + r"  c\x1b[2J"
    lines = row(parts, 80).splitlines()
    assert [len(line) <= 80 for line in lines] == [True, True]
    assert lines[1].startswith("    b")
    assert row(("x" * 100,), 80) == "x" * 100, "what cannot be broken is not cut"


def test_recorded_sessions_fit_80_columns() -> None:
    episode = {
        "episode": 0, "purpose": "collect", "steps": 120, "seconds": 4.8, "return": -12.3, "success": True,
        "end": "state_limit", "terminated": True, "truncated": False, "policies": ["3f2a" * 16],
        "fallback_steps": 3,
    }  # fmt: skip
    session = {
        "session": "20261126-084455-1a2b3c4d", "task": "cartpole_swingup", "plant": "brax-friction",
        "source": "stream", "begun": "2026-11-26 08:44+00:00", "tags": ["cold-bearing"], "collect_s": 4.8,
        "evaluate_s": 0.0, "fallback_steps": 3, "episodes": [episode],
    }  # fmt: skip
    told = "\n".join(experience_rows([session], episodes=True, width=80))
    assert max(map(len, told.splitlines())) <= 80
    for part in (
        "20261126-084455-1a2b3c4d",
        "cartpole_swingup on brax-friction",
        "return -12.3",
        "tags cold-bearing",
    ):
        assert part in told
    assert "    episode 0" in told


def test_a_demo_with_a_plant_that_is_none_says_so_before_it_has_trained(
    programs: Programs, tmp_path: Path
) -> None:
    demo = run("trainer.demo", "--plant", "brax-frictio", "--rounds", "0", "--out", str(tmp_path / "out"))
    assert demo.returncode == 1
    assert "unknown plant 'brax-frictio'; choose one of: brax-friction" in demo.stderr
    assert "on the plant it" not in demo.stdout
    broken = tmp_path / "rig.py"
    broken.write_text("class Rig(:\n")
    demo = run("trainer.demo", "--plant", f"{broken}:Rig", "--rounds", "0", "--out", str(tmp_path / "again"))
    assert f"plant '{broken}:Rig': {broken} fails with SyntaxError" in demo.stderr
