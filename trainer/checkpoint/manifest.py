"""The list of a checkpoint's files with their sha256 digests.

Orbax does not notice a flipped bit in an array file, so every file is checked before a checkpoint is
used. The manifest carries its own digest, and is compared byte by byte with its canonical form, so a
flipped bit in the manifest is found as well, and blamed on it.
"""

import hashlib
import json
from pathlib import Path

MANIFEST = "manifest.json"


class CorruptCheckpoint(RuntimeError):
    """A checkpoint is not what was published; the message names the file at fault."""


def write_manifest(directory: Path) -> None:
    """Write the manifest of all files below `directory`."""
    (directory / MANIFEST).write_text(_canonical(_digests(directory)))


def verify(directory: Path) -> None:
    """Check every file below `directory` against its manifest.

    Raises:
        CorruptCheckpoint: naming the first file that is changed, missing or not listed.
    """
    path = directory / MANIFEST
    try:
        text = path.read_bytes().decode()
        listed = json.loads(text)["files"]
        intact = text == _canonical(listed)
    except FileNotFoundError:
        raise CorruptCheckpoint(f"{path} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        intact, listed = False, {}
    if not intact:
        raise CorruptCheckpoint(f"{path} is damaged: it does not match its own digest")
    found = _digests(directory)
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            raise CorruptCheckpoint(f"{directory / name} is missing")
        if name not in listed:
            raise CorruptCheckpoint(f"{directory / name} is not in the manifest")
        if found[name] != listed[name]:
            raise CorruptCheckpoint(f"{directory / name} is damaged: its sha256 digest has changed")


def _digests(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _canonical(files: dict[str, str]) -> str:
    body = json.dumps(files, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{{"digest":"{digest}","files":{body}}}\n'
