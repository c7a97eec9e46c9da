"""Logs of real rigs: read, brought to the conventions of a task, fitted and scored."""
