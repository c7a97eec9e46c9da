"""RegistryService: policies, labels, and the files of checkpoints."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc

from protos.hds import v1
from trainer.services.plant_scores import PlantRecord, why_worse
from trainer.store.registry import AmbiguousLabel, LabelMoved, PolicyEntry, Registry, check_label

CHUNK_BYTES = 1 << 20


class RegistryService(v1.RegistryServiceServicer):
    """The registry behind gRPC. Every move of a label goes through it, so watchers hear of each."""

    def __init__(
        self, registry: Registry, checkpoints: Path, on_plant: Callable[[], dict[str, PlantRecord]]
    ) -> None:
        """Serve `registry`; `on_plant()` returns what each policy did on the plant, by version."""
        self._registry, self._on_plant = registry, on_plant
        self._checkpoints = checkpoints
        self._moved = asyncio.Condition()

    async def move_label(self, label: str, version: str, expected: str | None = None) -> str:
        """Move a label, tell the watchers, and return where it pointed before."""
        previous = await asyncio.to_thread(self._registry.set_label, label, version, expected)
        async with self._moved:
            self._moved.notify_all()
        return previous

    async def ListPolicies(
        self, request: v1.ListPoliciesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListPoliciesResponse:
        """List what was published."""
        del request, context
        entries = await asyncio.to_thread(self._registry.policies)
        records = await asyncio.to_thread(self._on_plant)
        policies = await asyncio.to_thread(lambda: [_record(e, records.get(e.version)) for e in entries])
        return v1.ListPoliciesResponse(policies=policies)

    async def SetLabel(
        self, request: v1.SetLabelRequest, context: grpc.aio.ServicerContext
    ) -> v1.SetLabelResponse:
        """Move a label."""
        expected = request.expected_version if request.HasField("expected_version") else None
        if not request.force and (why := await asyncio.to_thread(self._why_worse, request)):
            message = f"label {request.label!r} is not moved: {why}. --force moves it all the same"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        try:
            previous = await self.move_label(request.label, request.version, expected)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except LookupError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except LabelMoved as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return v1.SetLabelResponse(previous_version=previous)

    def _why_worse(self, request: v1.SetLabelRequest) -> str:
        """Return in what the label's present policy did significantly better; empty if in nothing."""
        tasks = {entry.version: entry.task for entry in self._registry.policies()}
        if request.version not in tasks:
            return ""  # which is told below
        try:
            _, present = self._registry.labelled(request.label, tasks[request.version])
        except ValueError:
            return ""
        if present in {"", request.version}:
            return ""
        records = self._on_plant()
        if present not in records or request.version not in records:
            return ""
        return why_worse(records[request.version], records[present])

    async def WatchLabel(
        self, request: v1.WatchLabelRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.WatchLabelResponse]:
        """Say where a label points, now and after every move."""
        try:
            check_label(request.label)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        said, task = None, request.task
        while True:
            async with self._moved:
                try:
                    task, version = await asyncio.to_thread(self._registry.labelled, request.label, task)
                except AmbiguousLabel as error:
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
                if version == said:
                    await self._moved.wait()
                    continue
            said = version
            yield v1.WatchLabelResponse(version=version, task=task)

    async def DownloadPolicy(
        self, request: v1.DownloadPolicyRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.DownloadPolicyResponse]:
        """Send the files of a published checkpoint."""
        entries = await asyncio.to_thread(self._registry.policies)
        root = self._checkpoints / request.version
        if request.version not in {entry.version for entry in entries} or not root.is_dir():
            message = f"no policy has the version {request.version!r}"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            content = await asyncio.to_thread(path.read_bytes)
            name = path.relative_to(root).as_posix()
            for start in range(0, max(len(content), 1), CHUNK_BYTES):
                yield v1.DownloadPolicyResponse(path=name, data=content[start : start + CHUNK_BYTES])


def _record(entry: PolicyEntry, on_plant: PlantRecord | None) -> v1.PolicyRecord:
    return v1.PolicyRecord(
        version=entry.version,
        task=entry.task,
        parent=entry.parent,
        real_seconds=entry.real_seconds,
        metrics=entry.metrics,
        labels=entry.labels,
        created_ns=entry.created_ns,
        plant=on_plant.message() if on_plant else None,
    )
