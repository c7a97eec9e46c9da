"""The event loop that servers run on."""

from collections.abc import Coroutine
from typing import Any

import uvloop


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop, whose tail of slow answers is shorter than asyncio's own."""
    uvloop.run(main)
