"""RegistryService: policies, labels, and the files of checkpoints."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from protos.hds import v1
from protos.operation.text import shortened
from trainer.services.label_moves import LabelMoves, Move
from trainer.services.paging import paged
from trainer.services.plant_scores import PlantRecord, why_worse
from trainer.services.pruning import superfluous
from trainer.store.registry import (
    AmbiguousLabel,
    LabelMoved,
    NoSuchPolicy,
    PolicyEntry,
    Registry,
    check_label,
)

CHUNK_BYTES = 1 << 20


class RegistryService(v1.RegistryServiceServicer):
    """The registry behind gRPC. Every move of a label goes through it, so watchers hear of each."""

    def __init__(
        self,
        registry: Registry,
        checkpoints: Path,
        on_plant: Callable[[], dict[str, PlantRecord]],
        in_use: Callable[[], set[str]] = set,
    ) -> None:
        """Serve `registry`.

        `on_plant()` returns what each policy did on the plant, by version; `in_use()` the versions that jobs
        need.
        """
        self._registry, self._on_plant, self._in_use = registry, on_plant, in_use
        self._checkpoints = checkpoints
        self._moves, self._moving = LabelMoves(), asyncio.Lock()
        self._pruning = asyncio.Lock()

    async def move_label(self, label: str, version: str, expected: str | None = None) -> str:
        """Move a label, tell the watchers, and return where it pointed before."""
        async with self._moving:
            previous = await asyncio.to_thread(self._registry.set_label, label, version, expected)
            task = await asyncio.to_thread(self._registry.task_of, version)
            self._moves.publish(Move(label, task, version))
        return previous

    async def ListPolicies(
        self, request: v1.ListPoliciesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListPoliciesResponse:
        """List what was published."""

        async def fetch(token: str, limit: int) -> tuple[list[v1.PolicyRecord], str]:
            created, _, version = token.partition(":")
            after = (int(created), version) if token else None
            return await asyncio.to_thread(self._page, after, limit)

        policies, token = await paged(request, context, fetch)
        return v1.ListPoliciesResponse(policies=policies, next_page_token=token)

    def _page(self, after: tuple[int, str] | None, limit: int) -> tuple[list[v1.PolicyRecord], str]:
        entries = self._registry.policies(after=after, limit=limit)
        records = self._on_plant() if entries else {}
        last = entries[-1] if len(entries) == limit else None
        following = f"{last.created_ns}:{last.version}" if last else ""
        return [_record(entry, records.get(entry.version)) for entry in entries], following

    async def ListAudit(
        self, request: v1.ListAuditRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListAuditResponse:
        """List the audit trail."""

        async def fetch(token: str, limit: int) -> tuple[list[v1.AuditEntry], str]:
            before = int(token) if token else None
            rows = await asyncio.to_thread(self._registry.audit, before, limit)
            return [_audit_entry(row) for row in rows], str(rows[-1].id) if len(rows) == limit else ""

        entries, token = await paged(request, context, fetch)
        return v1.ListAuditResponse(entries=entries, next_page_token=token)

    async def ResolvePolicy(
        self, request: v1.ResolvePolicyRequest, context: grpc.aio.ServicerContext
    ) -> v1.ResolvePolicyResponse:
        """Say which policy is meant."""
        try:
            resolve = self._registry.resolve
            task, version = await asyncio.to_thread(resolve, request.name, request.task)
        except NoSuchPolicy as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except AmbiguousLabel as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return v1.ResolvePolicyResponse(version=version, task=task)

    async def SetLabel(
        self, request: v1.SetLabelRequest, context: grpc.aio.ServicerContext
    ) -> v1.SetLabelResponse:
        """Move a label."""
        expected = request.expected_version if request.HasField("expected_version") else None
        if not request.force and (why := await asyncio.to_thread(self._why_worse, request)):
            message = f"label {request.label!r} is not moved: {why}. --force moves it all the same"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        try:
            async with self._pruning:
                previous = await self.move_label(request.label, request.version, expected)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NoSuchPolicy as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except LabelMoved as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return v1.SetLabelResponse(previous_version=previous)

    def _why_worse(self, request: v1.SetLabelRequest) -> str:
        """Return in what the label's present policy did significantly better; empty if in nothing."""
        task = self._registry.task_of(request.version)
        if not task:
            return ""  # which is told below
        try:
            _, present = self._registry.labelled(request.label, task)
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
        with self._moves.watch() as moves:
            try:
                found = await asyncio.to_thread(self._registry.labelled, request.label, request.task)
            except AmbiguousLabel as error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            task, version = found
            while True:
                yield v1.WatchLabelResponse(version=version, task=task)
                said = version
                while version == said:
                    move = await moves.get()
                    if move.label == request.label and task in {"", move.task}:
                        task, version = move.task, move.version

    async def DownloadPolicy(
        self, request: v1.DownloadPolicyRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.DownloadPolicyResponse]:
        """Send the files of a published checkpoint."""
        root = self._checkpoints / request.version
        known = await asyncio.to_thread(self._registry.task_of, request.version)
        if not known or not root.is_dir():
            message = f"no policy with a checkpoint has the version {shortened(request.version, 80)!r}"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            content = await asyncio.to_thread(path.read_bytes)
            name = path.relative_to(root).as_posix()
            for start in range(0, max(len(content), 1), CHUNK_BYTES):
                yield v1.DownloadPolicyResponse(path=name, data=content[start : start + CHUNK_BYTES])

    async def GetConfiguration(
        self, request: v1.GetConfigurationRequest, context: grpc.aio.ServicerContext
    ) -> v1.GetConfigurationResponse:
        """Return how a policy was trained."""
        try:
            task, version = await asyncio.to_thread(self._registry.resolve, request.name, request.task)
            return await asyncio.to_thread(self._configuration, task, version)
        except AmbiguousLabel as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except (NoSuchPolicy, OSError) as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    def _configuration(self, task: str, version: str) -> v1.GetConfigurationResponse:
        from trainer.checkpoint.metadata import from_json
        from trainer.checkpoint.reader import read_item
        from trainer.learning.configuration import to_toml

        metadata = from_json(read_item(self._checkpoints / version, "metadata"))
        known = metadata.configuration
        return v1.GetConfigurationResponse(
            version=version,
            task=task,
            seed=known.get("seed", 0),
            algorithm=known.get("algorithm", ""),
            dynamics_model=known.get("dynamics_model", ""),
            learned_fraction=known.get("learned_fraction", 0.0),
            code=known.get("code", ""),
            config=to_toml(known["tables"]) if "tables" in known else "",
            parent=metadata.parent,
        )

    async def PrunePolicies(
        self, request: v1.PrunePoliciesRequest, context: grpc.aio.ServicerContext
    ) -> v1.PrunePoliciesResponse:
        """Delete old checkpoints, or say which would be."""
        del context
        async with self._pruning:  # no label moves to what is being deleted
            return await asyncio.to_thread(self._prune, request)

    def _prune(self, request: v1.PrunePoliciesRequest) -> v1.PrunePoliciesResponse:
        entries = self._registry.policies(task=request.task)
        versions = superfluous(entries, request.keep, self._in_use())
        roots = [self._checkpoints / version for version in versions]
        size = sum(path.stat().st_size for root in roots for path in root.rglob("*") if path.is_file())
        if request.delete:
            self._registry.note_pruned(versions)  # before they go, so that nobody is sent half of one
            for root in roots:
                shutil.rmtree(root, ignore_errors=True)
        return v1.PrunePoliciesResponse(versions=versions, bytes=size)


def _audit_entry(row: Any) -> v1.AuditEntry:
    return v1.AuditEntry(
        at_ns=row.at_ns,
        action=row.action,
        resource=row.resource,
        detail=json.dumps(row.detail),
        actor=row.actor,
        peer=row.peer,
    )


def _record(entry: PolicyEntry, on_plant: PlantRecord | None) -> v1.PolicyRecord:
    return v1.PolicyRecord(
        version=entry.version,
        task=entry.task,
        parent=entry.parent,
        real_seconds=entry.real_seconds,
        metrics=entry.metrics,
        labels=entry.labels,
        created_ns=entry.created_ns,
        plant=on_plant.message if on_plant else None,
        pruned=entry.pruned_ns > 0,
    )
