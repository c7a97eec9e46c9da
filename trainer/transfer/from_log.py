"""A log that HDS did not write, as a session: what its rows tell, at the task's control steps."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from protos.hds import v1
from trainer.dynamics.contradictions import Contradicted, check_columns
from trainer.dynamics.windows import Segment
from trainer.logs.csv_log import Log, as_logs, read_csv_logs
from trainer.logs.log_format import LogFormat
from trainer.logs.resample import resample
from trainer.tasks.task import Task
from trainer.transfer.recording import Recording

NS = 1_000_000_000


def from_csv(path: Path, task: Task, layout: LogFormat) -> tuple[list[Segment], list[str]]:
    """Return a CSV log as motions, and what is to be known of it.

    Raises:
        OSError: it cannot be read.
        ValueError: with the line, if something in it is wrong.
    """
    return _sampled(read_csv_logs(path, layout), task)


def from_parquet(path: Path, task: Task, layout: LogFormat) -> tuple[list[Segment], list[str]]:
    """Return a Parquet table with the columns of a log as motions, and what is to be known of it.

    Raises:
        OSError: it cannot be read.
        ValueError: with the row, if something in it is wrong.
    """
    from trainer.logs.parquet_table import read_parquet

    return _sampled(as_logs(read_parquet(path, layout), layout), task)


def recorded(
    path: Path, task: Task, segments: list[Segment], purpose: v1.Purpose, terminated: Collection[int] = ()
) -> Recording:
    """Return motions as a recording, an episode each; those numbered in `terminated` end so, others are cut.

    The session's id is the file's name and a digest of what is recorded, so that the same file is stored
    once; under another name it is another session.
    """
    digest = hashlib.sha256(f"{task.name} {task.control_dt} {purpose}".encode())
    transitions: list[v1.Transition] = []
    for episode, segment in enumerate(segments):
        digest.update(segment.x.tobytes() + segment.u.tobytes())
        for k, u in enumerate(segment.u):
            transition = v1.Transition(
                sequence=len(transitions),
                episode=episode,
                purpose=purpose,
                x=segment.x[k],
                u_applied=u,
                x_next=segment.x[k + 1],
                t_ns=round(len(transitions) * task.control_dt * NS),
            )
            transitions.append(transition)
        if episode in terminated:
            transitions[-1].terminated = True
            digest.update(b"terminated")
        else:
            transitions[-1].truncated = True
    plant = v1.PlantSpec(
        name="log",
        state_names=task.state_names,
        action_names=task.action_names,
        control_dt_s=task.control_dt,
    )
    name = f"{path.stem}-{digest.hexdigest()[:12]}"
    session = v1.Session(id=name, task=task.name, plant=plant, source=path.name)
    return Recording(v1.SessionSummary(session=session), transitions)


def _sampled(logs: list[Log], task: Task) -> tuple[list[Segment], list[str]]:
    segments = []
    for log in logs:
        try:
            check_columns(task, log.t, log.x)
        except Contradicted as error:
            raise Contradicted(f"{log.path}: {error}") from error
        segments += resample(log, task)
    return segments, list(logs[0].notes)
