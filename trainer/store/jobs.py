"""The jobs that were ever started, as the wire's messages, so that they outlive the service."""

import time

import sqlalchemy as sa

from trainer.store.database import reading, writing
from trainer.store.schema import JOBS


class JobStore:
    """Serialised jobs by id."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def save(self, job_id: str, job: bytes) -> None:
        """Insert or replace a job."""
        with writing(self._engine) as connection:
            changed = connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(job=job))
            if changed.rowcount == 0:
                connection.execute(JOBS.insert().values(id=job_id, job=job, created_ns=time.time_ns()))

    def all(self) -> list[bytes]:
        """Return every job, oldest first."""
        with reading(self._engine) as connection:
            return list(connection.execute(sa.select(JOBS.c.job).order_by(JOBS.c.created_ns)).scalars())

    def page(self, after: int, limit: int) -> list[bytes]:
        """Return up to `limit` jobs with larger numbers than `after`, in their order."""
        number = sa.cast(JOBS.c.id, sa.BigInteger)
        query = sa.select(JOBS.c.job).where(number > after).order_by(number).limit(limit)
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def get(self, job_id: str) -> bytes | None:
        """Return one job; None if there is none."""
        with reading(self._engine) as connection:
            return connection.execute(sa.select(JOBS.c.job).where(JOBS.c.id == job_id)).scalar()
