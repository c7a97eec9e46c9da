"""What a trainer has stored."""

import sqlalchemy as sa

from trainer.store.database import open_database
from trainer.store.schema import TRANSITIONS


def stored(database: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with open_database(database).connect() as connection:
        query = sa.select(TRANSITIONS.c.session, TRANSITIONS.c.sequence)
        for name, sequence in connection.execute(query.order_by(*query.selected_columns)):
            found.setdefault(name, []).append(sequence)
    return found
