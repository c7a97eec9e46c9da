"""The process that owns the plant and the clock: read, ask, apply, record."""
