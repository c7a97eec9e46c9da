"""The control loop on the plant's side: read, ask, apply, record."""
