"""The policies that are loaded: the current one, the one before, the pinned ones, the shadow.

Swapping is one assignment, between two answers.
"""

from collections import Counter

from controller.served_policy import ServedPolicy

KEPT = 4
"""Loaded policies; only pinned ones go beyond it."""


class NothingToRollBackTo(RuntimeError):
    """There is no policy before the current one, or another one is current than was thought."""


class PolicySlot:
    """The policy that answers now and those that can at once, and the last one that was refused and why."""

    def __init__(self) -> None:
        self.current: ServedPolicy | None = None
        self.previous: ServedPolicy | None = None
        self.refused: tuple[str, str] = ("", "")
        self._loaded: dict[str, ServedPolicy] = {}
        self._pins: Counter[str] = Counter()

    def loaded(self) -> list[str]:
        """Return the versions that are loaded, the one used last at the end."""
        return list(self._loaded)

    def get(self, version: str) -> ServedPolicy | None:
        """Return `version` if it is loaded."""
        return self._loaded.get(version)

    def keep(self, policy: ServedPolicy) -> None:
        """Note `policy` as loaded, and let go of the oldest that nobody needs."""
        self._loaded.pop(policy.version, None)
        self._loaded[policy.version] = policy
        needed = {p.version for p in (self.current, self.previous, policy) if p} | set(+self._pins)
        for version in [v for v in self._loaded if v not in needed]:
            if len(self._loaded) > KEPT:
                del self._loaded[version]

    def pin(self, version: str) -> None:
        """Keep `version` loaded until it is unpinned as often."""
        self._pins[version] += 1

    def unpin(self, version: str) -> None:
        """Undo one `pin`."""
        self._pins[version] -= 1

    def swap(self, policy: ServedPolicy) -> None:
        """Let `policy` answer from the next observation on."""
        if self.current is not None and self.current.version != policy.version:
            self.previous = self.current
        self.current = policy
        self.keep(policy)
        self.refused = ("", "")

    def roll_back(self, expected: str = "") -> tuple[str, str]:
        """Serve the policy before the current one; return the versions (left, served).

        Raises:
            NothingToRollBackTo: there is none, or `expected`, its first digits, is given and not current.
        """
        current, previous = self.current, self.previous
        if current is None or previous is None:
            raise NothingToRollBackTo("there is no policy before the current one")
        if not current.version.startswith(expected):
            raise NothingToRollBackTo(
                f"policy {current.version[:12]} is current, not {expected[:12]}; nothing was changed"
            )
        self.current, self.previous = previous, None
        self.keep(previous)
        return current.version, previous.version

    def refuse(self, version: str, why: str) -> None:
        """Keep the current policy and note why `version` does not replace it."""
        self.refused = (version, why)
