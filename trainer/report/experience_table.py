"""The table of what is recorded."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from protos.operation.text import printable
from trainer.report.lines import row as fitted

COLUMNS = ("session", "task", "plant", "source", "begun", "tags", "policy", "collect\n[s]", "evaluate\n[s]",
           "return", "success", "fall-\nbacks")  # fmt: skip
NUMBERS = COLUMNS[7:]
WIDE = 130
"""Letters in a line that the table needs."""
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


def experience_rows(sessions: list[dict[str, Any]], episodes: bool, width: int) -> list[str]:
    """Return the same in rows of at most `width` letters, for terminals that are too narrow for the table."""
    rows = []
    for session in sessions:
        shown = session["episodes"]
        policies = dict.fromkeys(version[:8] for one in shown for version in one["policies"])
        parts = (
            session["session"],
            f"{session['task']} on {session['plant']}",
            f"from {session['source']}",
            session["begun"][:16],
            f"collect {session['collect_s']:.1f} s",
            f"evaluate {session['evaluate_s']:.1f} s",
            f"return {_mean([one['return'] for one in shown], '.1f')}",
            f"success {_mean([one['success'] for one in shown], '.0%')}",
            f"fallbacks {session['fallback_steps']}",
            f"policy {', '.join(policies) or '-'}",
            f"tags {', '.join(session['tags'])}" if session["tags"] else "",
        )
        rows.append(fitted(parts, width))
        for one in shown if episodes else ():
            shown = [cell for cell in _of_episode(one)[4:] if cell]
            rows.append(fitted([f"    episode {one['episode']}", *shown], width))
    return rows


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
