"""What the README shows of plants works as it is printed."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from protos.hds import v1
from tests.firmware import SOURCE, rig_file, simulated_pendulum
from tests.programs import Programs, run
from trainer.client import TrainerClient

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(beginning: str) -> str:
    """Return the one Python block of the README that has a line that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if re.search(f"^{re.escape(beginning)}", text, re.MULTILINE)]
    return found


def command(beginning: str) -> list[str]:
    """Return the words of the one indented command of the README that begins so."""
    (found,) = re.findall(rf"^ +{re.escape(beginning)}((?:[^\n]*\\\n)*[^\n]*)$", README, re.MULTILINE)
    return found.replace("\\\n", " ").split()


def test_the_readmes_own_plant_passes_its_own_tests(tmp_path: Path) -> None:
    (tmp_path / "my_rig.py").write_text(block("class MyRig:"))
    (tmp_path / "test_my_rig.py").write_text(block("class TestMyRig"))
    root = str(Path(__file__).parent.parent)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_rig.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": root, "PATH": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "11 passed" in ran.stdout


def test_the_readmes_own_plant_is_driven_by_a_policy_without_a_miss_that_it_is_to_blame_for(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    rig = tmp_path / "my_rig.py"
    rig.write_text(block("class MyRig:"))
    spool = ["--spool", str(tmp_path / "spool.sqlite")]
    driven = run(
        "real_env", "run", "--plant", f"{rig}:MyRig", "--collect", "3", "--trainer", trainer,
        "--controller", controller, *spool,
    )  # fmt: skip
    assert driven.returncode == 0, driven.stderr
    assert sum(e.steps for e in TrainerClient(trainer).episodes("", v1.PURPOSE_COLLECT)) == 75


def test_the_readmes_first_episode_with_the_simulated_pendulum_works_as_printed(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    with simulated_pendulum(tmp_path) as line:
        rig_file(tmp_path, line)
        words = command("hds-real-env run --plant serial:rig.toml")
        words = ["run", "--plant", f"serial:{tmp_path / 'rig.toml'}", *words]
        words += ["--trainer", trainer, "--controller", controller, "--spool", str(tmp_path / "s.sqlite")]
        driven = run("real_env", *words)
    assert driven.returncode == 0, driven.stderr
    assert sum(e.steps for e in TrainerClient(trainer).episodes("", v1.PURPOSE_COLLECT)) == 125


def test_the_readmes_command_compiles_the_simulated_pendulum() -> None:
    sources = command("cd real_env/firmware && cc -O2 -o simulated_pendulum")
    assert all((SOURCE / name).is_file() for name in sources if name.endswith(".c"))
