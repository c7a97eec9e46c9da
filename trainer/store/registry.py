"""Published policies and the labels that point to them."""

import re
import time
from dataclasses import dataclass, field

import sqlalchemy as sa

from trainer.store.database import note, reading, writing
from trainer.store.schema import LABELS, POLICIES

_LABEL = re.compile(r"[a-z][a-z0-9-]{0,31}")


class LabelMoved(RuntimeError):
    """A label does not point where the caller thought."""


@dataclass(frozen=True)
class PolicyEntry:
    """One published policy; `real_seconds` is the real data that it has seen [s]."""

    version: str
    task: str
    parent: str
    real_seconds: float
    metrics: dict[str, float]
    created_ns: int = field(default_factory=time.time_ns)
    labels: tuple[str, ...] = ()


def check_label(label: str) -> None:
    """Raise `ValueError` unless `label` can be one."""
    if not _LABEL.fullmatch(label):
        raise ValueError(
            f"{label!r} is no label; it takes a lower-case letter, then up to 31 of a-z, 0-9 and '-',"
            " for example 'stable'"
        )


class Registry:
    """Policies by version, and labels, each moved in one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def publish(self, entry: PolicyEntry) -> None:
        """Add a policy whose checkpoint is complete; publishing it again changes nothing."""
        values = {name: value for name, value in vars(entry).items() if name != "labels"}
        with writing(self._engine) as connection:
            known = sa.select(POLICIES.c.version).where(POLICIES.c.version == entry.version)
            if connection.execute(known).first() is None:
                connection.execute(POLICIES.insert().values(values))
                note(connection, "publish", entry.version, task=entry.task, parent=entry.parent)

    def policies(self) -> list[PolicyEntry]:
        """Return every policy with its labels, oldest first."""
        with reading(self._engine) as connection:
            labels: dict[str, list[str]] = {}
            for row in connection.execute(sa.select(LABELS).order_by(LABELS.c.label)):
                labels.setdefault(row.version, []).append(row.label)
            rows = connection.execute(sa.select(POLICIES).order_by(POLICIES.c.created_ns)).all()
        return [PolicyEntry(**row._mapping, labels=tuple(labels.get(row.version, ()))) for row in rows]

    def version_of(self, label: str) -> str:
        """Return the version that `label` points to; empty if nowhere."""
        check_label(label)
        with reading(self._engine) as connection:
            query = sa.select(LABELS.c.version).where(LABELS.c.label == label)
            return connection.execute(query).scalar() or ""

    def set_label(self, label: str, version: str, expected: str | None = None) -> str:
        """Point `label` to `version` and return where it pointed before.

        Raises:
            ValueError: `label` is malformed.
            LookupError: there is no such version.
            LabelMoved: `expected` is given and the label points elsewhere.
        """
        check_label(label)
        with writing(self._engine) as connection:
            versions = connection.execute(sa.select(POLICIES.c.version)).scalars().all()
            if version not in versions:
                known = ", ".join(v[:12] for v in versions) or "none yet"
                raise LookupError(f"no policy has the version {version!r}; published: {known}")
            query = sa.select(LABELS.c.version).where(LABELS.c.label == label)
            previous = connection.execute(query).scalar() or ""
            if expected is not None and previous != expected:
                raise LabelMoved(
                    f"label {label!r} points to {previous or 'nothing'}, not to {expected or 'nothing'}"
                )
            connection.execute(LABELS.delete().where(LABELS.c.label == label))
            connection.execute(LABELS.insert().values(label=label, version=version))
            note(connection, "label", label, version=version, previous=previous)
        return previous
