"""Package `hds` of the wire."""
