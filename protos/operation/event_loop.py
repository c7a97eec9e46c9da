"""What an event loop needs that shares its process with threads which compute."""

import sys

SWITCH_S = 2e-4
"""How long a thread may keep the interpreter while the event loop waits for it.

Python's own 5 ms, several times per answer, make answers late while another thread traces a policy, or turns
rows of a database into a long list.
"""


def answer_before_threads_compute() -> None:
    """Let the event loop wait no longer than `SWITCH_S` for a thread of this process."""
    sys.setswitchinterval(SWITCH_S)
