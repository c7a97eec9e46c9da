"""Warnings of certificates that expire: daily, from thirty days before."""

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

LOG = logging.getLogger("security")
WARNED_S = 30 * 86_400.0
"""How long before the expiry warnings begin [s]."""
LOOK_S, AGAIN_S = 600.0, 86_400.0
"""How often the files are read, and how often a warning is repeated [s]."""
NEEDS = "the ends of certificates are not watched: that needs the extra 'tls' (pip install 'hds[tls]')"


class Expiry(NamedTuple):
    """The certificate in a file that expires first; `until_s` in seconds since 1970-01-01 UTC."""

    path: Path
    until_s: float

    def words(self, now_s: float) -> str:
        """Return a message that says when it expires."""
        until = datetime.datetime.fromtimestamp(self.until_s, datetime.UTC)
        left = self.until_s - now_s
        when = f"ends in {left / 86_400:.0f} days" if left > 0 else "has ended"
        return f"the certificate {self.path} {when}, at {until:%Y-%m-%d %H:%M UTC}: renew it"


def expiries(paths: Iterable[Path]) -> list[Expiry]:
    """Return when the certificates in files expire; skip files that cannot be read.

    Raises:
        ModuleNotFoundError: the extra 'tls' is missing.
    """
    from cryptography import x509

    found = []
    for path in paths:
        try:
            certificates = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            continue
        found.append(Expiry(path, min(one.not_valid_after_utc.timestamp() for one in certificates)))
    return found


class ExpiryWatch:
    """Checks files of certificates, and warns of those that expire soon."""

    def __init__(self, paths: Iterable[Path], say: Callable[[str], None], now: Callable[[], float]) -> None:
        """Watch `paths`; `now()` is the time [s since 1970-01-01 UTC]."""
        self._paths, self._say, self._now = tuple(dict.fromkeys(paths)), say, now
        self._said: dict[Path, float] = {}
        self.found: list[Expiry] = []

    def look(self) -> None:
        """Read the files, and warn once a day of certificates that expire within thirty days."""
        if not self._paths:
            return
        try:
            self.found = expiries(self._paths)
        except ModuleNotFoundError:
            self._say_at_times(Path(), NEEDS)
            return
        for one in self.found:
            if one.until_s - self._now() < WARNED_S:
                self._say_at_times(one.path, one.words(self._now()))

    def warnings(self) -> list[str]:
        """Return a warning for each certificate that expires within thirty days."""
        now = self._now()
        return [one.words(now) for one in self.found if one.until_s - now < WARNED_S]

    async def watch(self) -> None:
        """Check forever."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def _say_at_times(self, path: Path, words: str) -> None:
        now = self._now()
        if now - self._said.get(path, -AGAIN_S) >= AGAIN_S:
            self._said[path] = now
            self._say(words)


def watch_of(paths: Iterable[Path]) -> ExpiryWatch:
    """Return a watch that writes its warnings to the log."""
    return ExpiryWatch(paths, LOG.warning, time.time)
