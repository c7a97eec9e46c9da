"""Benchmarks: each a command of its own; the README lists them with their figures."""
