"""The gate on the command line, and what a job has to say when it has ended."""

from protos.hds import v1


class GateRefused(RuntimeError):
    """A policy was published without the label that was asked for; the message says why."""


def with_gate(options: v1.TrainingOptions, gate: str) -> v1.TrainingOptions:
    """Return `options` with what `--gate` says: a number, `off`, or nothing for the default.

    Raises:
        ValueError: it is neither.
    """
    if gate == "off":
        options.gate_off = True
        return options
    try:
        value = float(gate or 0.0)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"--gate is {gate!r}; give a number in [0, 1], or off")
    if gate:
        options.gate = value
    return options


def job_lines(job: v1.Job) -> list[str]:
    """Return what is to be known of a job that has ended, in lines."""
    lines = list(job.notes)
    if job.policy_version:
        seconds = job.metrics.get("real_seconds")
        learned = "" if seconds is None else f", learned from {seconds:.2f} s of real data"
        label = f"has label {job.options.label!r}" if labelled(job) else f"has no label {job.options.label!r}"
        lines.append(f"policy {job.policy_version} {label}{learned}")
    lines += [f"gate: {note}" for note in job.gate.notes]
    if job.gate.off and not job.gate.passed:
        lines += [f"gate (off): {reason}" for reason in job.gate.reasons]
    return lines + [f"  {name}: {job.metrics[name]:.4g}" for name in sorted(job.metrics)]


def labelled(job: v1.Job) -> bool:
    """Return whether a job's policy got the label that was asked for; before there was a gate, all did."""
    return job.gate.passed or job.gate.off or not job.HasField("gate")


def check_labelled(job: v1.Job) -> None:
    """Check that a job's policy got its label.

    Raises:
        GateRefused: it did not.
    """
    if not labelled(job):
        reasons = "; ".join(job.gate.reasons)
        raise GateRefused(
            f"policy {job.policy_version[:12]} is published, without the label {job.options.label!r}: "
            f"{reasons}. "
            "'hds-trainer promote' gives it the label all the same"
        )
