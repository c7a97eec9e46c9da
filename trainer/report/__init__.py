"""What people see of a run: progress, table, picture, replay."""
