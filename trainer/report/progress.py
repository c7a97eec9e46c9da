"""A progress bar that follows a job."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from protos.hds import v1

Advance = Callable[[str, float], None]
"""`(what is done now, share done)`."""


@contextlib.contextmanager
def bar(title: str, console: Console | None = None) -> Iterator[Advance]:
    """Show a bar on standard error, or on `console`; yield what advances it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as progress:
        task = progress.add_task(title, total=1.0)

        def advance(what: str, share: float) -> None:
            said = f"{title}: {what}" if what else title
            progress.update(task, description=said, completed=share)

        yield advance


@contextlib.contextmanager
def job_bar(title: str, console: Console | None = None) -> Iterator[Callable[[v1.Job], None]]:
    """Show the progress of a job; yield what takes its changes."""
    with bar(title, console) as advance:

        def on_change(job: v1.Job) -> None:
            success = job.metrics.get("model_success")
            found = "" if success is None else f" (success {success:.2f} in its model)"
            advance(job.phase + found, job.progress)

        yield on_change


@contextlib.contextmanager
def share_bar(title: str) -> Iterator[Callable[[float], None]]:
    """Show the share done; yield what takes it."""
    with bar(title) as advance:
        yield lambda share: advance("", share)
