"""Dynamics models fitted to real data. Each contains the simulator as a special case."""
