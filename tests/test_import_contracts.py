import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_packages_import_only_what_the_architecture_allows() -> None:
    result = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
