"""Dynamics learned from real data: a ladder of rungs, each a family of models with the simulator in it."""
