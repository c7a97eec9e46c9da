"""The base package, in an environment of its own without JAX, drives a plant."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from protos.hds import v1
from tests.support.programs import STILL, Programs
from trainer.client import TrainerClient

ROOT = Path(__file__).parent.parent
HEAVY = ("jax", "brax", "flax", "orbax", "mujoco", "sqlalchemy", "scipy", "optax")


def test_the_base_package_drives_a_plant_where_no_jax_is_installed(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    environment, source = tmp_path / "environment", tmp_path / "source"
    kept_out = shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "hds-*", ".*")
    shutil.copytree(ROOT, source, ignore=kept_out)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = [sys.executable, "-m", "pip", "--python", python]  # one into another environment: half the time
    install = [*pip, "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt", source]
    done = subprocess.run(install, capture_output=True, text=True, check=False, cwd=tmp_path, env=alone)
    assert done.returncode == 0, done.stderr
    found = f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])"
    listed = subprocess.run([python, "-c", found], capture_output=True, text=True, check=True, env=alone)
    assert listed.stdout.strip() == "[]"

    publish(seed=1)
    trainer, _, controller = programs.both()
    words = ["run", "--plant", STILL, "--collect", "1", "--trainer", trainer, "--controller", controller]
    program = environment / "bin" / "hds-real-env"
    driven = subprocess.run(
        [program, *words], capture_output=True, text=True, check=False, cwd=tmp_path, env=alone, timeout=120
    )
    assert driven.returncode == 0, driven.stderr
    assert sum(e.steps for e in TrainerClient(trainer).episodes("", v1.PURPOSE_COLLECT)) == 25
    for plant, package in (("brax-friction", "jax"), ("serial:rig.toml", "serial")):
        words[2] = plant
        lacking = subprocess.run(
            [program, *words], capture_output=True, text=True, check=False, cwd=tmp_path, env=alone
        )
        assert lacking.returncode == 2
        assert f"needs the package '{package}'; install the extra" in lacking.stderr
