"""Simulators as differentiable models, and the forces that real joints add."""
