"""A log that HDS did not write, as a session: what its rows tell, at the task's control steps."""

import hashlib
from pathlib import Path

import numpy as np

from protos.hds import v1
from trainer.dynamics.windows import Motion
from trainer.logs.csv_log import Log, as_log, find_columns, read_csv
from trainer.logs.log_format import LogFormat
from trainer.logs.resample import resample
from trainer.tasks.task import Task
from trainer.transfer.recording import Recording

NS = 1_000_000_000


def from_csv(path: Path, task: Task, layout: LogFormat) -> tuple[list[Motion], list[str]]:
    """Return a CSV log as motions, and what is to be known of it.

    Raises:
        OSError: it cannot be read.
        ValueError: with the line, if something in it is wrong.
    """
    return _sampled(read_csv(path, layout), task)


def from_parquet(path: Path, task: Task, layout: LogFormat) -> tuple[list[Motion], list[str]]:
    """Return a Parquet table with the columns of a log as motions, and what is to be known of it.

    Raises:
        OSError: it cannot be read.
        ValueError: with the row, if something in it is wrong.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_table(path)
        names = [found.column_names[place] for place in find_columns(str(path), found.column_names, layout)]
        table = np.stack([np.asarray(found.column(name).cast(pa.float64())) for name in names], axis=1)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is no Parquet file of numbers ({error})") from error
    return _sampled(as_log(path, table, np.arange(1, len(table) + 1), layout), task)


def from_minari(directory: Path, task: Task) -> tuple[list[Motion], list[str]]:
    """Return the episodes of a Minari dataset as motions; observations are states, one each control step.

    Raises:
        ValueError: observations or actions have another size than the task's.
    """
    import minari

    from trainer.transfer.minari_dataset import data_below

    motions, wanted = [], (len(task.state_names), len(task.action_names))
    for episode in minari.MinariDataset(data_below(directory)).iterate_episodes():
        x, u = np.asarray(episode.observations), np.asarray(episode.actions)
        if x.ndim != 2 or u.ndim != 2 or (x.shape[1], u.shape[1]) != wanted:
            states = f"{wanted[0]} states, {', '.join(task.state_names)}, and {wanted[1]} actions"
            raise ValueError(
                f"{directory}: observations and actions have the shapes {x.shape[1:]} and {u.shape[1:]}; "
                f"task {task.name} has {states}"
            )
        motions.append(Motion(x.astype(np.float32), u.astype(np.float32)))
    return motions, [f"observations are taken as states, one each {task.control_dt:g} s"]


def recorded(path: Path, task: Task, motions: list[Motion], purpose: v1.Purpose) -> Recording:
    """Return motions as a recording, an episode each.

    The session's id is the file's name and a digest of what is recorded, so that the same file is stored
    once; under another name it is another session.
    """
    digest = hashlib.sha256(f"{task.name} {task.control_dt} {purpose}".encode())
    transitions: list[v1.Transition] = []
    for episode, motion in enumerate(motions):
        digest.update(motion.x.tobytes() + motion.u.tobytes())
        for k, u in enumerate(motion.u):
            transition = v1.Transition(
                sequence=len(transitions),
                episode=episode,
                purpose=purpose,
                x=motion.x[k],
                u_applied=u,
                x_next=motion.x[k + 1],
                t_ns=round(len(transitions) * task.control_dt * NS),
                truncated=k + 1 == len(motion.u),
            )
            transitions.append(transition)
    plant = v1.PlantSpec(
        name="log",
        state_names=task.state_names,
        action_names=task.action_names,
        control_dt_s=task.control_dt,
    )
    name = f"{path.stem}-{digest.hexdigest()[:12]}"
    session = v1.Session(id=name, task=task.name, plant=plant, source=path.name)
    return Recording(v1.SessionSummary(session=session), transitions)


def _sampled(log: Log, task: Task) -> tuple[list[Motion], list[str]]:
    return resample(log, task), list(log.notes)
