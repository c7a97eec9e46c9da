"""Fixtures: real servers as real processes, on free ports, on published policies of a known shape."""

# ruff: noqa: E402
import os

for threads in ("NPROC", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # XLA's threads and BLAS's wait for each other by spinning

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import Programs
from trainer import compilation_cache

if TYPE_CHECKING:
    from tests.support.postgres import PostgreSQL

compilation_cache.enable()


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another, or a user, left of a rig."""
    monkeypatch.setenv("HDS_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Start programs of HDS; all are ended after the test."""
    running = Programs(tmp_path)
    yield running
    running.close()


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Publish an untrained policy into the trainer's state below tmp_path, while no trainer runs there."""
    from tests.support.published import publish_policy

    return lambda **wanted: publish_policy(tmp_path / "trainer", **wanted)


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgreSQL"]:
    """A real PostgreSQL server; a test that needs it fails where it can't be started."""
    from tests.support.postgres import PostgreSQL

    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").new_database()
    return f"sqlite:///{tmp_path / 'hds.sqlite'}"
