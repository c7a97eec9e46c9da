"""Which checkpoints nobody needs any more."""

from collections import Counter
from collections.abc import Collection, Sequence

from trainer.store.registry import PolicyEntry


def superfluous(entries: Sequence[PolicyEntry], keep: int, in_use: Collection[str]) -> list[str]:
    """Return the versions whose checkpoints may go, oldest first.

    Kept are the newest `keep` of each task, those with a label, those in use, and the parents of all these,
    from which they can be understood.

    Args:
        entries: policies, oldest first.
        keep: how many of each task.
        in_use: versions that jobs need.
    """
    there = [entry for entry in entries if not entry.pruned_ns]
    newest, counted = set[str](), Counter[str]()
    for entry in reversed(there):
        if counted[entry.task] < keep:
            counted[entry.task] += 1
            newest.add(entry.version)
    kept = [e for e in there if e.version in newest or e.labels or e.version in in_use]
    needed = {entry.version for entry in kept} | {entry.parent for entry in kept}
    return [entry.version for entry in there if entry.version not in needed]
