"""Settings of an event loop that shares its process with threads that compute."""

import sys

SWITCH_S = 2e-4
"""How long a thread keeps the interpreter (GIL) while another one waits for it [s].

With Python's default of 5 ms, several times per answer, answers are late while another thread traces a policy
or converts rows of a database.
"""


def shorten_switch_interval() -> None:
    """Set the switch interval of this process to `SWITCH_S`."""
    sys.setswitchinterval(SWITCH_S)
