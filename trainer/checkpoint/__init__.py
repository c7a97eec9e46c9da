"""Policies as Orbax checkpoints, addressed by their content and verified before use."""
