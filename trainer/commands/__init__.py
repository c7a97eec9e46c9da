"""The commands of `hds-trainer`: one dataclass each, whose fields are its options and whose `run` does it."""
