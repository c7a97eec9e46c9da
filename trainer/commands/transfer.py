"""`hds-trainer import` and `export`."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import numpy as np
import tyro

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from trainer.client import CallFailed, TrainerClient
from trainer.commands.default_address import ADDRESS
from trainer.commands.selecting import Data
from trainer.transfer.exchange import Offer, check, recordings, selected, store
from trainer.transfer.recording import Recording

Kind = Literal["auto", "csv", "parquet", "mcap", "minari"]
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".parquet": "parquet",
    ".mcap": "mcap",
}
MODULES = {
    "parquet": "trainer.transfer.parquet",
    "mcap": "trainer.transfer.mcap_file",
    "minari": "trainer.transfer.minari_dataset",
    "minari-log": "trainer.transfer.minari_log",
}


@dataclass(frozen=True)
class Import:
    """Store a log of a real rig (CSV, Parquet, Minari: with --task), or what 'export' wrote.

    Before anything is stored, the file is read whole and each of its sessions is checked against what the
    trainer has and takes; of tasks from files of your own, the trainer alone knows what it takes. Importing
    a file again stores nothing twice, and nothing that was forgotten.
    Example: hds-trainer import rig.csv --task pendulum --format rig.toml --tag first-rig
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The file, or a Minari dataset's directory."""
    task: str = ""
    """A log: the task whose states and actions its columns are."""
    format: Path | None = None
    """A log: a TOML file that says which column is what, in which unit and from which zero it counts. Columns
    of Minari are 'observation 0', 'action 0' and so on, by default in the task's order."""
    purpose: Literal["collect", "evaluate"] = "collect"
    """A log: whether it may be learned from, or only judges."""
    kind: Kind = "auto"
    """What the file is; auto goes by its name."""
    tag: str = ""
    """A tag for its sessions."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Read it, check it, store it, and say what was stored."""
        if self.tag and not self.tag.strip():
            raise ValueError(f"--tag is {self.tag!r}; a tag must not be empty")
        found, notes = self._read()
        client = TrainerClient(self.trainer, self.access)
        for note in notes:
            print(note)
        try:
            offers = [check(client, recording) for recording in found]
        except CallFailed as error:
            raise CallFailed(f"{error}; nothing of the file was stored") from error
        for number, offer in enumerate(offers):
            try:
                store(client, offer)
                print(_stored(offer))
                self._tag(client, offer)
            except CallFailed as error:
                raise CallFailed(
                    f"{error}; {number} of the file's {len(offers)} sessions are stored with their tags; "
                    "once that is mended, import the file again to store the rest"
                ) from error

    def _tag(self, client: TrainerClient, offer: Offer) -> None:
        """Add the recording's tags and the one that is given; a session that is forgotten gets none."""
        summary, transitions = offer.recording
        if offer.forgotten == len(transitions):
            return
        tags = list(summary.tags)
        if self.tag and self.tag not in tags:
            tags.append(self.tag)
        for tag in tags:
            request = v1.TagSessionRequest(session=summary.session.id, tag=tag)
            try:
                client.call(client.experience.TagSession, request)
            except CallFailed as error:
                raise CallFailed(f"{error}; session {summary.session.id} lacks the tag {tag!r}") from error
        if tags:
            print(f"session {summary.session.id} has the tags {', '.join(map(repr, tags))}")

    def _read(self) -> tuple[list[Recording], list[str]]:
        kind = kind_of(self.file) if self.kind == "auto" else self.kind
        if not self.file.exists():
            raise FileNotFoundError(f"there is no file {self.file}")
        if self.task:
            return self._read_log(kind)
        if kind == "csv":
            raise ValueError("a CSV file needs --task, whose states and actions its columns are")
        if self.format or self.purpose != "collect":
            raise ValueError("--format and --purpose are for logs of other makers, which need --task")
        return _module(kind).read(self.file)

    def _read_log(self, kind: str) -> tuple[list[Recording], list[str]]:
        from trainer.dynamics.contradictions import check as check_motions
        from trainer.logs.log_format import default_format, read_format
        from trainer.tasks import load_task
        from trainer.transfer.from_log import from_csv, from_parquet, recorded

        task, terminated = load_task(self.task), frozenset()
        if kind == "minari":
            layout = read_format(self.format, task, optional=("time",)) if self.format else None
            motions, terminated, notes = _module("minari-log").read(self.file, task, layout)
        elif kind == "mcap":
            raise ValueError("MCAP files of other makers are not read; write the columns to CSV or Parquet")
        else:
            layout = read_format(self.format, task) if self.format else default_format(task)
            read = from_csv if kind == "csv" else from_parquet
            motions, notes = read(self.file, task, layout)
        check_motions(task, motions)
        purpose = v1.PURPOSE_COLLECT if self.purpose == "collect" else v1.PURPOSE_EVALUATE
        steps = sum(len(motion.u) for motion in motions)
        notes.append(f"{len(motions)} stretches, {steps} control steps, {steps * task.control_dt:.2f} s")
        return [recorded(self.file, task, motions, purpose, terminated)], notes


@dataclass(frozen=True)
class Export:
    """Write recorded sessions to a Parquet file, an MCAP file (for Foxglove), or a Minari dataset.

    Sessions that have selected episodes are written whole.
    Example: hds-trainer export rig.mcap --data.tags first-rig
    """

    out: Annotated[Path, tyro.conf.Positional]
    """File to write: .parquet or .mcap; or, with --kind minari, the directory that datasets are kept in."""
    data: Data = field(default_factory=Data)
    task: str = ""
    """Only data for this task; a Minari dataset holds one."""
    kind: Kind = "auto"
    """What to write; auto goes by the name."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Write it."""
        kind = kind_of(self.out) if self.kind == "auto" else self.kind
        if kind == "csv":
            raise ValueError("CSV is read only, it can't hold everything; choose .parquet, .mcap or minari")
        if self.out.exists() and not self.out.is_dir():
            raise FileExistsError(f"{self.out} is there already; choose another name")
        client = TrainerClient(self.trainer, self.access)
        wanted, counts = self.data.selection(self.task), [0, 0]
        summaries = selected(client, wanted, client.sessions(wanted))
        if not summaries:
            raise CallFailed("no session is selected; see 'hds-trainer experience'")
        where = self._write(kind, _counted(recordings(client, summaries), counts), summaries)
        print(f"{counts[0]} sessions, {counts[1]} transitions: {where}")

    def _write(self, kind: str, found: Iterator[Recording], summaries: list[v1.SessionSummary]) -> Path:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        if kind == "minari":
            tasks = sorted({summary.session.task for summary in summaries})
            if len(tasks) > 1:
                raise ValueError(f"a Minari dataset holds one task; choose with --task: {', '.join(tasks)}")
            name = "".join(c if c.isalnum() or c in "-_" else "-" for c in tasks[0])
            return _module(kind).write(self.out, name, found, _rewards(tasks[0]))
        unfinished = self.out.with_name(f".{self.out.name}.unfinished")
        try:
            _module(kind).write(unfinished, found)
            unfinished.rename(self.out)
        finally:
            unfinished.unlink(missing_ok=True)
        return self.out


def kind_of(path: Path) -> str:
    """Return what a file is by its name; a directory is Minari's.

    Raises:
        ValueError: naming the choices.
    """
    if path.is_dir():
        return "minari"
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path}: can't tell what it is by its name; known are {', '.join(SUFFIXES)}, and directories "
            "(minari). --kind says it"
        )
    return SUFFIXES[path.suffix.lower()]


def _module(kind: str) -> ModuleType:
    """Return what reads and writes files of a kind; libraries for them are an extra."""
    try:
        return importlib.import_module(MODULES[kind])
    except ImportError as error:
        raise ValueError(
            f"{kind} needs a library that is not here ({error}): pip install '.[files]'"
        ) from error


def _stored(offer: Offer) -> str:
    """Return in words what was stored of an offer, and what was not."""
    count, stored, forgotten = len(offer.recording.transitions), len(offer.missing), offer.forgotten
    had = count - stored - forgotten
    result = f"session {offer.recording.summary.session.id}: {stored} of {count} transitions stored"
    if had:
        result += "; the trainer had them" if had == count else f"; the trainer had {had}"
    if forgotten:
        result += f"; {forgotten} were forgotten, and are not stored again"
    return result


def _counted(recordings: Iterator[Recording], counts: list[int]) -> Iterator[Recording]:
    for recording in recordings:
        counts[0], counts[1] = counts[0] + 1, counts[1] + len(recording.transitions)
        yield recording


def _rewards(name: str):
    import jax

    from trainer.tasks import load_task

    residual = load_task(name).residual
    costs = jax.jit(jax.vmap(lambda x, u: 0.5 * (residual(x, u) ** 2).sum()))
    return lambda x, u: -np.asarray(costs(x[:-1], u), float)
