"""A client that records a session as fast as the trainer takes it, or a little faster, until it is killed.

    python -m tests.recorder SPOOL TRAINER SESSION

Each transition that the spool took is noted in SPOOL.SESSION.taken: one byte, written after it.
"""

import sys
from pathlib import Path

from protos.security.client_security import ClientSecurity
from real_env.spool import Spool
from real_env.uploader import ExperienceUploader
from tests.support.plain import session, transition

AHEAD, WAIT_S = 20_000, 0.05


def main(spool_path: str, trainer: str, name: str) -> None:
    """Record for ever."""
    spool = Spool(Path(spool_path))
    spool.open_session(session(name))
    uploader = ExperienceUploader(trainer, ClientSecurity(), spool, name, lambda message: None)
    with Path(f"{spool_path}.{name}.taken").open("wb", buffering=0) as taken:
        sequence = 0
        while True:
            while spool.waiting() >= AHEAD:  # a full spool would end it, and then there were nothing to kill
                uploader.flush(WAIT_S)
            spool.append(name, transition(sequence))
            taken.write(b".")
            uploader.notify()
            sequence += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
