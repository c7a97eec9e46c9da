import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_packages_import_only_what_the_architecture_allows() -> None:
    result = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_plants_side_runs_where_no_jax_is_installed() -> None:
    script = "import sys; sys.modules.update(jax=None, brax=None, sqlalchemy=None); import real_env.cli"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
