"""Checkpoints on the disk of the controller, including the last good one."""

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path, PurePosixPath

from protos.hds import v1
from protos.operation.private import private_directory
from protos.operation.text import shortened
from trainer.checkpoint.metadata import is_version

LOG = logging.getLogger("controller")
KEPT = 5
MOST_BYTES, MOST_FILES = 256 << 20, 2_000
"""Limits of a downloaded checkpoint; those of HDS have some 100 kB in 30 files."""
SILENT_S, LONGEST_S = 10.0, 300.0
"""Longest pause of a download, and its longest duration [s]."""


class BadDownload(RuntimeError):
    """A download is no valid checkpoint, or is not complete in time."""


class PolicyCache:
    """Directories by version below `root`, and the version that served last."""

    def __init__(self, root: Path) -> None:
        """Open or create the cache.

        Raises:
            OSError: naming the path, if it cannot be written.
        """
        self.root = root
        try:
            private_directory(root)
            probe = root / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"the state directory {root} cannot be written ({error.strerror}); "
                "give a writable --state-dir"
            ) from error
        for left in root.glob(".download-*"):
            shutil.rmtree(left, ignore_errors=True)

    def directory(self, version: str) -> Path:
        """Return the directory of `version`, whether or not it exists."""
        return self.root / version

    def last_good(self) -> str:
        """Return the version that served last; empty if none did."""
        return self._read("last-good")

    def mark_good(self, version: str) -> None:
        """Record `version` for the next start."""
        self._write("last-good", version)

    def prune(self, needed: Collection[str]) -> None:
        """Delete the oldest checkpoints, except those needed."""
        others = [path for path in self.root.iterdir() if is_version(path.name) and path.name not in needed]
        for path in sorted(others, key=lambda path: path.stat().st_mtime)[: -max(1, KEPT - len(needed))]:
            shutil.rmtree(path, ignore_errors=True)

    def quarantined(self) -> str:
        """Return the version that was rolled back and is not served again; empty for none."""
        return self._read("rolled-back")

    def quarantine(self, version: str) -> None:
        """Record that `version` was rolled back; an empty one clears it."""
        self._write("rolled-back", version)

    def discard(self, version: str) -> None:
        """Delete a damaged copy, so that it is downloaded again."""
        shutil.rmtree(self.directory(version), ignore_errors=True)

    async def store(self, version: str, chunks: AsyncIterator[v1.DownloadPolicyResponse]) -> None:
        """Write a download, and move it into place once it is complete.

        Raises:
            BadDownload: it is too large or too slow, or contains invalid paths.
            OSError: it cannot be written.
        """
        staging = self.root / f".download-{version}"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            await self._receive(chunks, staging, version)
            if not staging.exists():
                raise BadDownload(f"the download of policy {version[:12]} is empty")
            staging.replace(self.directory(version))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    async def _receive(
        self, chunks: AsyncIterator[v1.DownloadPolicyResponse], staging: Path, version: str
    ) -> None:
        what = f"the download of policy {version[:12]}"
        until, size, names = time.monotonic() + LONGEST_S, 0, set[str]()
        while True:
            patience = min(SILENT_S, until - time.monotonic())
            try:
                chunk = await asyncio.wait_for(anext(chunks, None), patience)
            except TimeoutError as error:
                raise BadDownload(f"{what} stands still after {size} bytes, or takes too long") from error
            if chunk is None:
                return
            size += len(chunk.data)
            names.add(chunk.path)
            if size > MOST_BYTES or len(names) > MOST_FILES:
                raise BadDownload(
                    f"{what} is larger than a checkpoint may be: allowed are {MOST_BYTES} bytes in "
                    f"{MOST_FILES} files"
                )
            await asyncio.to_thread(_append, _target(staging, chunk.path, what), chunk.data)

    def _read(self, name: str) -> str:
        """Return the version in a file; rename the file if it holds no version."""
        path = self.root / name
        if not path.exists():
            return ""
        try:
            version = path.read_text().strip()
        except (OSError, ValueError) as error:
            version, why = "?", str(error)
        else:
            why = f"it says {shortened(version, 80)!r}, which is no version of a policy"
        if not version or is_version(version):
            return version
        aside = path.with_name(f"{name}.broken-{time.time_ns()}")
        try:
            path.replace(aside)
        except OSError as error:
            LOG.error("%s cannot be used (%s), nor set aside (%s)", path, why, error)
        else:
            LOG.error("%s cannot be used, and is now %s: %s", path, aside.name, why)
        return ""

    def _write(self, name: str, version: str) -> None:
        """Write a file atomically."""
        staging = self.root / f".{name}"
        staging.write_text(version)
        staging.replace(self.root / name)


def _target(staging: Path, name: str, what: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or len(name) > 500:
        raise BadDownload(f"{what} names the path {shortened(name, 100)!r}")
    return staging / path


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)
