"""What README and manual show works as it is printed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protos.hds import v1
from tests.support.firmware import SOURCE, rig_file, simulated_pendulum
from tests.support.manual import PAGES, ROOT, block, command
from tests.support.programs import Programs, asked, driven, run
from trainer.client import TrainerClient
from trainer.learning.configuration import Configuration

OWN_PLANT, OWN_PENDULUM = "docs/how-to/own-plant.md", "docs/how-to/own-pendulum.md"
PROGRAMS = {"hds-trainer": "trainer", "hds-controller": "controller", "hds-real-env": "real_env"}


def commands() -> dict[tuple[str, ...], set[str]]:
    """Return the options that the manual shows of each command of a program."""
    found: dict[tuple[str, ...], set[str]] = {}
    shown = rf"({'|'.join(PROGRAMS)})((?: [a-z][a-z-]*)+)((?:[^\n`]*\\\n)*[^\n`]*)"
    for page in PAGES:
        for program, words, rest in re.findall(shown, page.read_text()):
            two = words.split()[:2] if words.split()[0] == "spool" else words.split()[:1]
            options = re.findall(r"(?<= )--[a-z][a-z0-9.-]*", rest.partition("#")[0])
            found.setdefault((PROGRAMS[program], *two), set()).update(options)
    return found


def test_the_readme_is_at_most_150_lines_long() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_the_manual_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_option_that_the_manual_shows_exists() -> None:
    shown = commands()
    assert len(shown) > 25
    for words, options in shown.items():
        program, *command_words = words
        in_process = program == "trainer"  # which this process has imported
        helped = (asked(*command_words, "--help") if in_process else run(*words, "--help")).stdout
        assert helped, f"{words} is no command"
        for option in options:
            assert option in helped, f"{' '.join(words)} has no {option}"


def test_the_manual_lists_every_hyper_parameter_with_its_default() -> None:
    page, tables = (ROOT / "docs/reference/configuration.md").read_text(), Configuration().tables()
    sections = dict(re.findall(r"## `\[(\w+)\]`[^\n]*\n(.*?)(?=\n## |\Z)", page, re.DOTALL))
    assert set(sections) == set(tables)
    for name, entries in tables.items():
        rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", sections[name], re.MULTILINE))
        assert set(rows) == set(entries), name
        for entry, value in entries.items():
            assert f"`{json.dumps(value)}`" in rows[entry], f"{name}.{entry} is {value}"


def test_the_readmes_ten_lines_train_a_policy(tmp_path: Path) -> None:
    (tmp_path / "ten_lines.py").write_text(block("README.md", "parts = learner("))
    ran = subprocess.run(
        [sys.executable, "ten_lines.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    epoch, cost, success = ran.stdout.splitlines()[-1].split()
    assert epoch == "30"
    assert float(success) > 0.5
    assert float(cost) < float(ran.stdout.splitlines()[0].split()[1])


def test_the_manuals_own_plant_passes_its_own_tests(tmp_path: Path) -> None:
    (tmp_path / "my_rig.py").write_text(block(OWN_PLANT, "class MyRig:"))
    (tmp_path / "test_my_rig.py").write_text(block(OWN_PLANT, "class TestMyRig"))
    root = str(Path(__file__).parent.parent)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_rig.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": root, "PATH": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "11 passed" in ran.stdout


def test_the_manuals_own_plant_is_driven_by_a_policy_without_a_miss_that_it_is_to_blame_for(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    rig = tmp_path / "my_rig.py"
    rig.write_text(block(OWN_PLANT, "class MyRig:"))
    spool = ["--spool", str(tmp_path / "spool.sqlite")]
    done = driven(
        "run", "--plant", f"{rig}:MyRig", "--collect", "3", "--trainer", trainer, "--controller", controller,
        *spool,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    client = TrainerClient(trainer)
    last = client.sessions(v1.Selection())[-1].session.id
    assert sum(e.steps for e in client.episodes(last, v1.PURPOSE_COLLECT)) == 75


def test_the_manuals_first_episode_with_the_simulated_pendulum_works_as_printed(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    with simulated_pendulum(tmp_path) as line:
        rig_file(tmp_path, line)
        words = command(OWN_PENDULUM, "hds-real-env run --plant serial:rig.toml")
        words = ["run", "--plant", f"serial:{tmp_path / 'rig.toml'}", *words]
        words += ["--trainer", trainer, "--controller", controller, "--spool", str(tmp_path / "s.sqlite")]
        done = driven(*words)
    assert done.returncode == 0, done.stderr
    client = TrainerClient(trainer)
    last = client.sessions(v1.Selection())[-1].session.id
    assert sum(e.steps for e in client.episodes(last, v1.PURPOSE_COLLECT)) == 125


def test_the_manuals_command_compiles_the_simulated_pendulum() -> None:
    sources = command(OWN_PENDULUM, "cd real_env/firmware && cc -O2 -o simulated_pendulum")
    assert all((SOURCE / name).is_file() for name in sources if name.endswith(".c"))
