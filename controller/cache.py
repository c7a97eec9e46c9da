"""Checkpoints on the controller's own disk, among them the last good one."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from protos.hds import v1
from trainer.checkpoint.metadata import is_version

KEPT = 5


class PolicyCache:
    """Directories by version below `root`, and the name of the last policy that served well."""

    def __init__(self, root: Path) -> None:
        """Open or create the cache.

        Raises:
            OSError: naming the path, if it cannot be written.
        """
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = root / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"the state directory {root} cannot be written ({error.strerror}); "
                "give a writable --state-dir"
            ) from error

    def directory(self, version: str) -> Path:
        """Return where `version` lies, if it is here."""
        return self.root / version

    def last_good(self) -> str:
        """Return the version that served last; empty if none ever did."""
        path = self.root / "last-good"
        return path.read_text().strip() if path.exists() else ""

    def mark_good(self, version: str) -> None:
        """Remember `version` for the next start, and drop the oldest others."""
        self._note("last-good", version)
        others = [path for path in self.root.iterdir() if is_version(path.name) and path.name != version]
        for path in sorted(others, key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]:
            shutil.rmtree(path)

    def left_behind(self) -> str:
        """Return the version that an operator rolled back from, which is not served again; mostly empty."""
        path = self.root / "rolled-back"
        return path.read_text().strip() if path.exists() else ""

    def leave_behind(self, version: str) -> None:
        """Remember that `version` was rolled back from; empty forgets it."""
        self._note("rolled-back", version)

    def discard(self, version: str) -> None:
        """Drop a damaged copy, so that it is fetched again."""
        shutil.rmtree(self.directory(version), ignore_errors=True)

    async def store(self, version: str, chunks: AsyncIterator[v1.DownloadPolicyResponse]) -> None:
        """Write a download, and put it in place once it is complete.

        Raises:
            ValueError: a path in it leads out of the checkpoint.
        """
        staging = self.root / f".download-{version}"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            async for chunk in chunks:
                path = PurePosixPath(chunk.path)
                if path.is_absolute() or ".." in path.parts:
                    raise ValueError(f"the download of {version[:12]} names the path {chunk.path!r}")
                target = staging / path
                await asyncio.to_thread(_append, target, chunk.data)
            staging.replace(self.directory(version))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _note(self, name: str, version: str) -> None:
        """Write a file whole or not at all."""
        staging = self.root / f".{name}"
        staging.write_text(version)
        staging.replace(self.root / name)


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)
