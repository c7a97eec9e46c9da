"""PODS and HDS: pure functions over models, tasks and policies."""
