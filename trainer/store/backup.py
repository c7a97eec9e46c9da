"""A consistent copy of a database to another one, of the same or another kind."""

import sqlalchemy as sa

from trainer.store.database import reading, writing
from trainer.store.schema import AUDIT, METADATA

CHUNK = 5000
"""Rows in memory at a time."""


def copy_database(source: sa.Engine, target: sa.Engine) -> int:
    """Copy all rows, and return how many; what is written to `source` meanwhile is not copied.

    Raises:
        ValueError: `target` is not empty.
        StoreUnavailable: one of them is out of reach or full; nothing stays in `target` then.
    """
    copied = 0
    with reading(source) as old, writing(target) as new:
        for table in METADATA.sorted_tables:
            if new.execute(sa.select(table).limit(1)).first() is not None:
                raise ValueError(f"the database to copy to is not empty: {table.name} has rows")
            rows = old.execution_options(yield_per=CHUNK).execute(sa.select(table))
            for part in rows.partitions():
                new.execute(table.insert(), [dict(zip(table.c.keys(), row, strict=True)) for row in part])
                copied += len(part)
        if target.dialect.name == "postgresql":  # numbers were given, so its counter stands at the beginning
            largest = sa.select(sa.func.coalesce(sa.func.max(AUDIT.c.id), 0) + 1).scalar_subquery()
            new.execute(sa.select(sa.func.setval("audit_id_seq", largest, False)))
    return copied
