"""The trainer's side of the wire: each servicer method decodes, calls and encodes."""
