"""Labels belong to a task, and an episode's last transition says what ended it.

A label of before goes to the task of the policy that it pointed to.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Make the labels' table anew, by label and task."""
    op.rename_table("labels", "labels_of_all")
    op.create_table(
        "labels",
        sa.Column("label", sa.String, primary_key=True),
        sa.Column("task", sa.String, primary_key=True),
        sa.Column("version", sa.String, sa.ForeignKey("policies.version"), nullable=False),
    )
    op.execute(
        "INSERT INTO labels (label, task, version) SELECT old.label, policies.task, policies.version "
        "FROM labels_of_all AS old JOIN policies ON policies.version = old.version"
    )
    op.drop_table("labels_of_all")
    op.add_column("transitions", sa.Column("end_cause", sa.Integer, nullable=False, server_default="0"))
