"""The table of what is recorded."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from protos.operation.text import printable

COLUMNS = ("session", "task", "plant", "source", "begun", "tags", "policy", "collect\n[s]", "evaluate\n[s]",
           "return", "success", "fall-\nbacks")  # fmt: skip
NUMBERS = COLUMNS[7:]
SUCCESS = {True: "yes", False: "no", None: "not judged"}


def experience_table(sessions: list[dict[str, Any]], episodes: bool) -> Table:
    """Return a table with a row per session, and one per episode if asked for.

    Returns are means over the episodes, success is a share of those that are judged.
    """
    table = Table(box=SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    for session in sessions:
        rows = session["episodes"]
        policies = dict.fromkeys(version[:8] for row in rows for version in row["policies"])
        table.add_row(
            *map(_plain, (session["session"], session["task"], session["plant"], session["source"])),
            session["begun"][:16],
            _plain(", ".join(session["tags"])),
            ", ".join(policies) or "-",
            f"{session['collect_s']:.1f}",
            f"{session['evaluate_s']:.1f}",
            _mean([row["return"] for row in rows], ".1f"),
            _mean([row["success"] for row in rows], ".0%"),
            str(session["fallback_steps"]),
        )
        for row in rows if episodes else ():
            table.add_row(f"  episode {row['episode']}", *_of_episode(row), style="dim")
    return table


def _of_episode(row: dict[str, Any]) -> list[str]:
    seconds = {row["purpose"]: f"{row['seconds']:.1f}"}
    end = "terminated" if row["terminated"] else "truncated" if row["truncated"] else "cut off"
    if row["end"] not in {"unspecified", "clock"}:
        end += f" ({row['end'].replace('_', ' ')})"
    return [
        "", "", "", "", end,
        ", ".join(version[:8] for version in row["policies"]) or "-",
        seconds.get("collect", ""),
        seconds.get("evaluate", ""),
        _mean([row["return"]], ".1f"),
        SUCCESS[row["success"]],
        str(row["fallback_steps"]),
    ]  # fmt: skip


def _plain(text: str) -> Text:
    """Return text from elsewhere as it is: neither escapes nor Rich's markup act."""
    return Text(printable(text))


def _mean(values: list[float | None], form: str) -> str:
    """Return the mean of what is known, formatted; a dash if nothing is."""
    known = [value for value in values if value is not None]
    return format(sum(known) / len(known), form) if known else "-"
