"""The loaded policies: the current one, the previous one, pinned ones and the shadow.

A swap is one assignment between two answers.
"""

from collections import Counter

from controller.served_policy import ServedPolicy

KEPT = 4
"""Policies kept loaded. Pinned ones may exceed it."""


class NoPreviousPolicy(RuntimeError):
    """There is no policy to roll back to, or the current policy is not the expected one."""


class LoadedPolicies:
    """The current policy, other policies that are ready, and the last rejected version with the reason."""

    def __init__(self) -> None:
        self.current: ServedPolicy | None = None
        self.previous: ServedPolicy | None = None
        self.refused: tuple[str, str] = ("", "")
        self._loaded: dict[str, ServedPolicy] = {}
        self._pins: Counter[str] = Counter()

    def loaded(self) -> list[str]:
        """Return the loaded versions, the most recently used last."""
        return list(self._loaded)

    def get(self, version: str) -> ServedPolicy | None:
        """Return `version` if it is loaded."""
        return self._loaded.get(version)

    def keep(self, policy: ServedPolicy) -> None:
        """Add `policy`, and drop the oldest ones that are not in use."""
        self._loaded.pop(policy.version, None)
        self._loaded[policy.version] = policy
        needed = {p.version for p in (self.current, self.previous, policy) if p} | set(+self._pins)
        for version in [v for v in self._loaded if v not in needed]:
            if len(self._loaded) > KEPT:
                del self._loaded[version]

    def pin(self, version: str) -> None:
        """Keep `version` loaded until it has been unpinned as often as pinned."""
        self._pins[version] += 1

    def unpin(self, version: str) -> None:
        """Undo one `pin`."""
        self._pins[version] -= 1

    def swap(self, policy: ServedPolicy) -> None:
        """Make `policy` the current one from the next observation on."""
        if self.current is not None and self.current.version != policy.version:
            self.previous = self.current
        self.current = policy
        self.keep(policy)
        self.refused = ("", "")

    def roll_back(self, expected: str = "") -> tuple[str, str]:
        """Make the previous policy the current one; return the versions (left, served).

        Raises:
            NoPreviousPolicy: there is none, or `expected`, a version prefix, is not the current version.
        """
        current, previous = self.current, self.previous
        if current is None or previous is None:
            raise NoPreviousPolicy("there is no policy before the current one")
        if not current.version.startswith(expected):
            raise NoPreviousPolicy(
                f"policy {current.version[:12]} is current, not {expected[:12]}; nothing was changed"
            )
        self.current, self.previous = previous, None
        self.keep(previous)
        return current.version, previous.version

    def refuse(self, version: str, why: str) -> None:
        """Keep the current policy, and record why `version` is rejected."""
        self.refused = (version, why)
