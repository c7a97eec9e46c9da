"""Where the current policy stands. Swapping it is one assignment, between two answers."""

from controller.served_policy import ServedPolicy


class PolicySlot:
    """The policy that answers now, and the last one that was refused with the reason."""

    def __init__(self) -> None:
        self.current: ServedPolicy | None = None
        self.refused: tuple[str, str] = ("", "")

    def swap(self, policy: ServedPolicy) -> None:
        """Let `policy` answer from the next observation on."""
        self.current = policy
        self.refused = ("", "")

    def refuse(self, version: str, why: str) -> None:
        """Keep the current policy and note why `version` does not replace it."""
        self.refused = (version, why)
