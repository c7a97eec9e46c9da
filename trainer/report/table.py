"""The table at the end of a demo."""

from typing import Any

from rich.table import Table


def round_table(rows: list[dict[str, Any]]) -> Table:
    """Return a table with one row per round."""
    table = Table(title="Closing the gap")
    for column in ("round", "policy", "real data [s]", "simulation success", "real success", "real cost"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row["round"]),
            row["policy_version"][:12],
            f"{row['real_seconds']:.0f}",
            f"{row['simulation_success']:.0%}",
            f"{row['real_success']:.0%}",
            f"{row['real_cost']:.0f}",
        )
    return table
