"""The jobs that were ever started, as the wire's messages, so that they outlive the service."""

import math
import time
from collections.abc import Sequence

import sqlalchemy as sa

from trainer.store.database import reading, writing
from trainer.store.records import Epoch
from trainer.store.schema import EPOCHS, JOBS


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

    def add_epochs(self, job_id: str, epochs: Sequence[Epoch]) -> None:
        """Insert the figures of epochs; those that are stored already are skipped."""
        with writing(self._engine) as connection:
            stored = set(
                connection.execute(
                    sa.select(EPOCHS.c.number).where(
                        EPOCHS.c.job == job_id, EPOCHS.c.number >= min(epoch.number for epoch in epochs)
                    )
                ).scalars()
            )
            rows = [
                {"job": job_id, **epoch._asdict(), "scalars": _to_json(epoch.scalars)}
                for epoch in epochs
                if epoch.number not in stored
            ]
            if rows:
                connection.execute(EPOCHS.insert(), rows)

    def epochs(self, job_id: str, after: int = 0) -> list[Epoch]:
        """Return the figures of a job's epochs with larger numbers than `after`."""
        columns = (EPOCHS.c.number, EPOCHS.c.at_ns, EPOCHS.c.scalars)
        query = sa.select(*columns).where(EPOCHS.c.job == job_id, EPOCHS.c.number > after)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(EPOCHS.c.number))
            return [Epoch(row.number, row.at_ns, _from_json(row.scalars)) for row in rows]


def _to_json(scalars: dict[str, float]) -> dict[str, float | None]:
    """Return scalars without NaN and infinity, which JSON has not."""
    return {name: value if math.isfinite(value) else None for name, value in scalars.items()}


def _from_json(scalars: dict[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in scalars.items()}
