"""The algorithms that `--algorithm` knows: HDS, PODS, or that of a user's file."""

import functools
from typing import Any

from trainer.learning.algorithm import Algorithm, MakeAlgorithm, Problem
from trainer.learning.hds import make_hds, make_pods
from trainer.user_file import explained, is_file, load_object, user_file

ALGORITHMS: dict[str, MakeAlgorithm] = {"hds": make_hds, "pods": make_pods}
DEFAULT = "hds"


def load_algorithm(name: str) -> MakeAlgorithm:
    """Return what makes the algorithm `name` for a problem; empty is HDS.

    Raises:
        ValueError: naming the choices, or what is wrong with the file.
    """
    name = name or DEFAULT
    if is_file(name):
        return _from_file(name, user_file("algorithm", name).stat().st_mtime_ns)
    if name not in ALGORITHMS:
        choices = ", ".join(ALGORITHMS)
        raise ValueError(f"unknown algorithm {name!r}; choose one of: {choices}, or give FILE.py:NAME")
    return ALGORITHMS[name]


@functools.lru_cache(maxsize=16)
def _from_file(name: str, changed_ns: int) -> MakeAlgorithm:
    """Load the algorithm of a file that was last changed at `changed_ns`."""
    del changed_ns
    make, attribute = load_object("algorithm", name), name.rpartition(":")[2]
    if not callable(make):
        raise ValueError(f"algorithm {name!r}: {attribute} must be callable with a Problem; got {make!r}")

    def explain(problem: Problem) -> Algorithm[Any]:
        with explained("algorithm", name, attribute):
            found = make(problem)
        if not isinstance(found, Algorithm):
            raise ValueError(
                f"algorithm {name!r}: {attribute} gives a {type(found).__name__}, not an Algorithm"
            )
        return found

    return explain
