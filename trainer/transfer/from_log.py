"""A log of a real rig as a session: what its rows tell, sampled at the task's control steps."""

import hashlib
from pathlib import Path

from protos.hds import v1
from trainer.logs.csv_log import read_csv
from trainer.logs.log_format import LogFormat
from trainer.logs.resample import resample
from trainer.tasks.task import Task
from trainer.transfer.recording import Recording

NS = 1_000_000_000


def from_csv(path: Path, task: Task, layout: LogFormat, purpose: v1.Purpose) -> tuple[Recording, list[str]]:
    """Return a log as a recording, and what is to be known of it.

    The session's id holds a digest of the file and of how it was read, so that the same log is taken once.

    Raises:
        OSError: it cannot be read.
        ValueError: with the line, if something in it is wrong.
    """
    log = read_csv(path, layout)
    motions, transitions = resample(log, task), []
    for episode, motion in enumerate(motions):
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
    digest = hashlib.sha256(path.read_bytes() + repr((layout, task.control_dt, purpose)).encode())
    plant = v1.PlantSpec(
        name="log",
        state_names=task.state_names,
        action_names=task.action_names,
        control_dt_s=task.control_dt,
    )
    session = v1.Session(
        id=f"{path.stem}-{digest.hexdigest()[:12]}", task=task.name, plant=plant, source=path.name
    )
    seconds = len(transitions) * task.control_dt
    notes = [*log.notes, f"{len(motions)} stretches, {len(transitions)} control steps, {seconds:.2f} s"]
    return Recording(v1.SessionSummary(session=session), transitions), notes
