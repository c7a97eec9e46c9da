"""Checkpoints on the controller's own disk, among them the last good one."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from protos.hds import v1

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
        staging = self.root / ".last-good"
        staging.write_text(version)
        staging.replace(self.root / "last-good")
        others = [path for path in self.root.iterdir() if path.is_dir() and path.name != version]
        for path in sorted(others, key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]:
            shutil.rmtree(path)

    def left_behind(self) -> str:
        """Return the version that an operator rolled back from, which is not served again; mostly empty."""
        path = self.root / "rolled-back"
        return path.read_text().strip() if path.exists() else ""

    def leave_behind(self, version: str) -> None:
        """Remember that `version` was rolled back from; empty forgets it."""
        staging = self.root / ".rolled-back"
        staging.write_text(version)
        staging.replace(self.root / "rolled-back")

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
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("ab") as file:
                    file.write(chunk.data)
            staging.replace(self.directory(version))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
