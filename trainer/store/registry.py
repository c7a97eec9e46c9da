"""Published policies and the labels that point to them."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from protos.operation.text import shortened
from trainer.store.database import audit, audit_rows, reading, writing
from trainer.store.schema import LABELS, POLICIES

_LABEL = re.compile(r"[a-z][a-z0-9-]{0,31}")


class AmbiguousLabel(LookupError):
    """Policies of several tasks have a label, and no task was named."""


class LabelMoved(RuntimeError):
    """A label does not point where the caller thought."""


class NoSuchPolicy(LookupError):
    """What was asked for is no policy, or not just one, or its checkpoint is gone."""


@dataclass(frozen=True)
class PolicyEntry:
    """One published policy; `real_seconds` is the real data that it has seen [s]."""

    version: str
    task: str
    parent: str
    real_seconds: float
    metrics: dict[str, float]
    created_ns: int = field(default_factory=time.time_ns)
    pruned_ns: int = 0
    labels: tuple[str, ...] = ()


def check_label(label: str) -> None:
    """Raise `ValueError` unless `label` can be one."""
    if not _LABEL.fullmatch(label):
        raise ValueError(
            f"{shortened(label, 80)!r} is no label; it takes a lower-case letter, then up to 31 of a-z, 0-9 "
            "and '-', for example 'stable'"
        )


SHOWN = 10
"""Versions that an error names."""


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
                audit(connection, "publish", entry.version, **detail)

    def policies(
        self, task: str = "", after: tuple[int, str] | None = None, limit: int | None = None
    ) -> list[PolicyEntry]:
        """Return policies with their labels, oldest first: up to `limit`, behind (created_ns, version)."""
        query = sa.select(POLICIES).order_by(POLICIES.c.created_ns, POLICIES.c.version).limit(limit)
        if task:
            query = query.where(POLICIES.c.task == task)
        if after is not None:
            query = query.where(sa.tuple_(POLICIES.c.created_ns, POLICIES.c.version) > sa.tuple_(*after))
        with reading(self._engine) as connection:
            labels: dict[str, list[str]] = {}
            for row in connection.execute(sa.select(LABELS).order_by(LABELS.c.label)):
                labels.setdefault(row.version, []).append(row.label)
            rows = connection.execute(query).all()
        return [PolicyEntry(**row._mapping, labels=tuple(labels.get(row.version, ()))) for row in rows]

    def task_of(self, version: str) -> str:
        """Return the task of a policy whose checkpoint is there; empty if there is none."""
        query = sa.select(POLICIES.c.task).where(POLICIES.c.version == version, POLICIES.c.pruned_ns == 0)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar() or ""

    def resolve(self, name: str, task: str = "") -> tuple[str, str]:
        """Return task and version of the policy that a version, its first digits or a label mean.

        Raises:
            NoSuchPolicy: there is not just one, or its checkpoint was deleted.
            AmbiguousLabel: several tasks have the label.
        """
        if _LABEL.fullmatch(name):
            found, version = self.labelled(name, task)
            if version:
                return found, version
        query = sa.select(POLICIES.c.version, POLICIES.c.task, POLICIES.c.pruned_ns)
        query = query.where(POLICIES.c.version.startswith(name, autoescape=True))
        if task:
            query = query.where(POLICIES.c.task == task)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(POLICIES.c.created_ns).limit(SHOWN)).all()
        shown = repr(shortened(name, 80)) + (f" of task {task!r}" if task else "")
        if not rows:
            with reading(self._engine) as connection:
                known = _known(connection)
            raise NoSuchPolicy(f"no policy begins with {shown}, and no label is called so; {known}")
        if len(rows) > 1:
            versions = ", ".join(row.version[:12] for row in rows)
            raise NoSuchPolicy(f"several policies begin with {shown}: {versions}; give more digits")
        if rows[0].pruned_ns:
            raise NoSuchPolicy(f"the checkpoint of policy {rows[0].version[:12]} was pruned")
        return rows[0].task, rows[0].version

    def behind(self, name: str, task: str = "") -> str:
        """Return the version that `name` points to if it is a label, else `name`.

        Raises:
            AmbiguousLabel: several tasks have the label.
        """
        return (self.labelled(name, task)[1] if _LABEL.fullmatch(name) else "") or name

    def note_pruned(self, versions: Sequence[str]) -> None:
        """Note that the checkpoints of policies are to be deleted; their records stay."""
        with writing(self._engine) as connection:
            for version in versions:
                gone = POLICIES.update().where(POLICIES.c.version == version)
                connection.execute(gone.values(pruned_ns=time.time_ns()))
                audit(connection, "prune", version)

    def audit(self, before: int | None, limit: int) -> Sequence[sa.Row]:
        """Return up to `limit` rows of the audit trail, newest first, of those with an id below `before`."""
        return audit_rows(self._engine, before, limit)

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
            NoSuchPolicy: there is no such version, or its checkpoint was deleted.
            LabelMoved: `expected` is given and the label points elsewhere.
        """
        check_label(label)
        with writing(self._engine) as connection:
            known = sa.select(POLICIES.c.task, POLICIES.c.pruned_ns).where(POLICIES.c.version == version)
            policy = connection.execute(known).first()
            if policy is None:
                shown = repr(shortened(version, 80))
                raise NoSuchPolicy(f"no policy has the version {shown}; {_known(connection)}")
            if policy.pruned_ns:
                raise NoSuchPolicy(f"the checkpoint of policy {version[:12]} was pruned; it cannot be served")
            task = policy.task
            this = (LABELS.c.label == label) & (LABELS.c.task == task)
            previous = connection.execute(sa.select(LABELS.c.version).where(this)).scalar() or ""
            if expected is not None and previous != expected:
                raise LabelMoved(
                    f"label {label!r} points to {previous or 'nothing'}, not to {expected or 'nothing'}"
                )
            connection.execute(LABELS.delete().where(this))
            connection.execute(LABELS.insert().values(label=label, task=task, version=version))
            audit(connection, "label", label, task=task, version=version, previous=previous)
        return previous


def _known(connection: sa.Connection) -> str:
    """Return in words which policies there are, the newest of them by name."""
    newest = sa.select(POLICIES.c.version).order_by(POLICIES.c.created_ns.desc(), POLICIES.c.version.desc())
    count = connection.execute(sa.select(sa.func.count()).select_from(POLICIES)).scalar() or 0
    rows = connection.execute(newest.limit(SHOWN)).scalars().all()
    if not rows:
        return "published: none yet"
    others = f" and {count - len(rows)} earlier ones" if count > len(rows) else ""
    return f"published: {', '.join(version[:12] for version in reversed(rows))}{others}"
