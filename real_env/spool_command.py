"""`hds-real-env spool`: what waits for the trainer, and what it refuses."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from protos.operation.text import printable
from real_env.spool import Spool, default_spool


@dataclass(frozen=True)
class SpoolCommand:
    """Show what waits for the trainer and what it refuses, or delete some of it for good.

    Example: hds-real-env spool list; hds-real-env spool discard 20261126-0812 --yes
    """

    action: Annotated[Literal["list", "discard"], tyro.conf.Positional]
    """'list' shows the sessions; 'discard' deletes those that are named."""
    sessions: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """With 'discard': sessions, or the first letters of their ids; 'refused' means all that are refused."""
    spool: Path = field(default_factory=default_spool)
    """As in 'hds-real-env run'."""
    yes: bool = False
    """Delete; without it, only what would be deleted is shown."""


def spool(command: SpoolCommand) -> int:
    """Carry the command out; return the exit status."""
    try:
        if not command.spool.exists():
            raise OSError(f"there is no spool {command.spool}; name one with --spool")
        opened = Spool(command.spool, say=lambda words: print(words, file=sys.stderr))
        try:
            return _show(opened) if command.action == "list" else _discard(opened, command)
        finally:
            opened.close()
    except (OSError, ValueError) as error:
        print(f"hds-real-env: {error}", file=sys.stderr)
        return 2


def _show(opened: Spool) -> int:
    found = opened.kept()
    for kept in found:
        state = f"refused: {kept.refused}" if kept.refused else "waits"
        row = f"{kept.session}  {kept.task}  {kept.plant}  {kept.transitions} transitions  {state}"
        print(printable(row))
    print(f"{len(found)} sessions, {sum(kept.transitions for kept in found)} transitions in {opened.path}")
    return 0


def _discard(opened: Spool, command: SpoolCommand) -> int:
    if not command.sessions:
        raise ValueError(
            "say which sessions: their ids, as 'hds-real-env spool list' shows them, or 'refused'"
        )
    chosen = []
    for kept in opened.kept():
        by_name = any(kept.session.startswith(name) for name in command.sessions)
        if by_name or (kept.refused and "refused" in command.sessions):
            chosen.append(kept)
    if not chosen:
        raise ValueError(f"no session here begins with {', '.join(command.sessions)}")
    for kept in chosen:
        print(printable(f"{kept.session}  {kept.transitions} transitions"))
    if not command.yes:
        print("nothing was deleted; --yes deletes these for good", file=sys.stderr)
        return 0
    print(f"deleted {sum(opened.discard(kept.session) for kept in chosen)} transitions")
    return 0
