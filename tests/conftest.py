"""Fixtures: real servers as real processes, on free ports, on published policies of a known shape."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.programs import Programs
from trainer import compilation_cache

compilation_cache.enable()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Start programs of HDS; all are ended after the test."""
    running = Programs(tmp_path)
    yield running
    running.close()


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Publish an untrained policy into the trainer's state below tmp_path, while no trainer runs there."""
    from tests.published import publish_policy

    return lambda **wanted: publish_policy(tmp_path / "trainer", **wanted)
