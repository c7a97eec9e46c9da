"""Published policies and the labels that point to them."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from trainer.store.database import note, reading, writing
from trainer.store.schema import LABELS, POLICIES

_LABEL = re.compile(r"[a-z][a-z0-9-]{0,31}")


class AmbiguousLabel(LookupError):
    """Policies of several tasks have a label, and no task was named."""


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


_VERSIONS = sa.select(POLICIES.c.version, POLICIES.c.task).order_by(POLICIES.c.created_ns)


class Registry:
    """Policies by version, and labels by task, each moved in one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def publish(self, entry: PolicyEntry, gate: str = "", reasons: Sequence[str] = ()) -> None:
        """Add a policy whose checkpoint is complete; publishing it again changes nothing.

        The audit trail keeps what the gate said, and why.
        """
        values = {name: value for name, value in vars(entry).items() if name != "labels"}
        with writing(self._engine) as connection:
            known = sa.select(POLICIES.c.version).where(POLICIES.c.version == entry.version)
            if connection.execute(known).first() is None:
                connection.execute(POLICIES.insert().values(values))
                detail = {"task": entry.task, "parent": entry.parent, "gate": gate, "reasons": list(reasons)}
                note(connection, "publish", entry.version, **detail)

    def policies(self) -> list[PolicyEntry]:
        """Return every policy with its labels, oldest first."""
        with reading(self._engine) as connection:
            labels: dict[str, list[str]] = {}
            for row in connection.execute(sa.select(LABELS).order_by(LABELS.c.label)):
                labels.setdefault(row.version, []).append(row.label)
            rows = connection.execute(sa.select(POLICIES).order_by(POLICIES.c.created_ns)).all()
        return [PolicyEntry(**row._mapping, labels=tuple(labels.get(row.version, ()))) for row in rows]

    def labelled(self, label: str, task: str = "") -> tuple[str, str]:
        """Return the task and the version that `label` points to; empty if nowhere.

        Without `task` it is the only task that has the label.

        Raises:
            ValueError: `label` is malformed.
            AmbiguousLabel: several tasks have it.
        """
        check_label(label)
        query = sa.select(LABELS.c.task, LABELS.c.version).where(LABELS.c.label == label)
        query = query.where(LABELS.c.task == task) if task else query.order_by(LABELS.c.task)
        with reading(self._engine) as connection:
            found = connection.execute(query).all()
        if len(found) > 1:
            tasks = ", ".join(row.task for row in found)
            raise AmbiguousLabel(f"label {label!r} is set for several tasks: {tasks}; choose one with --task")
        return (found[0].task, found[0].version) if found else (task, "")

    def set_label(self, label: str, version: str, expected: str | None = None) -> str:
        """Point `label`, of the version's task, to `version`; return where it pointed before.

        Raises:
            ValueError: `label` is malformed.
            LookupError: there is no such version.
            LabelMoved: `expected` is given and the label points elsewhere.
        """
        check_label(label)
        with writing(self._engine) as connection:
            tasks = {row.version: row.task for row in connection.execute(_VERSIONS)}
            if version not in tasks:
                known = ", ".join(v[:12] for v in tasks) or "none yet"
                raise LookupError(f"no policy has the version {version!r}; published: {known}")
            this = (LABELS.c.label == label) & (LABELS.c.task == tasks[version])
            previous = connection.execute(sa.select(LABELS.c.version).where(this)).scalar() or ""
            if expected is not None and previous != expected:
                raise LabelMoved(
                    f"label {label!r} points to {previous or 'nothing'}, not to {expected or 'nothing'}"
                )
            connection.execute(LABELS.delete().where(this))
            connection.execute(LABELS.insert().values(label=label, task=tasks[version], version=version))
            note(connection, "label", label, task=tasks[version], version=version, previous=previous)
        return previous
