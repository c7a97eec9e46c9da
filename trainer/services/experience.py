"""ExperienceService: real transitions in, acknowledged after commit; episodes out, scored.

A stream's next batch is read when its last one is committed, and messages are bounded, so what waits in
memory is bounded by the number of streams; the senders' spools hold the rest.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import numpy as np

from protos.hds import v1
from trainer.services.group_commit import GroupCommit
from trainer.services.scoring import score_episode
from trainer.store.database import StoreUnavailable
from trainer.store.experience import (
    Batch,
    ExperienceStore,
    RecordedEpisode,
    Selection,
    SequenceGap,
    SessionInfo,
    Transition,
)
from trainer.tasks import load_task

log = logging.getLogger(__name__)

CHUNK = 500


class ExperienceService(v1.ExperienceServiceServicer):
    """The durable record behind gRPC; database calls run beside the event loop."""

    def __init__(self, store: ExperienceStore) -> None:
        self._store = store
        self._commits = GroupCommit(store)

    async def Append(
        self, request_iterator: AsyncIterator[v1.AppendRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.AppendResponse]:
        """Commit each batch, then acknowledge it; a refused one does not end the stream.

        A batch beyond the watermark is not stored, and asked for again from the watermark on. A store that
        takes nothing ends the call with `UNAVAILABLE`: nothing is acknowledged that is not stored.
        """
        async for request in request_iterator:
            session = request.session.id
            try:
                result = await self._commits.append(Batch(*decode(request)))
            except ValueError as error:
                watermark = await self._watermark(session, context)
                yield v1.AppendResponse(session=session, next_sequence=watermark, refusal=str(error))
                continue
            except StoreUnavailable as error:
                log.warning("session %s: %s; nothing is acknowledged", session, error)
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            if isinstance(result, SequenceGap):
                watermark = await self._watermark(session, context)
                yield v1.AppendResponse(session=session, next_sequence=watermark, gap=str(result))
            else:
                yield v1.AppendResponse(session=session, next_sequence=result)

    async def _watermark(self, session: str, context: grpc.aio.ServicerContext) -> int:
        try:
            return await asyncio.to_thread(self._store.watermark, session)
        except StoreUnavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    async def GetWatermark(
        self, request: v1.GetWatermarkRequest, context: grpc.aio.ServicerContext
    ) -> v1.GetWatermarkResponse:
        """Say how much of a session is stored."""
        return v1.GetWatermarkResponse(next_sequence=await self._watermark(request.session, context))

    async def ListEpisodes(
        self, request: v1.ListEpisodesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListEpisodesResponse:
        """List episodes with their scores."""
        del context
        wanted = Selection(sessions=(request.session,) if request.session else (), purpose=request.purpose)
        episodes = await asyncio.to_thread(self._store.episodes, wanted)
        messages = await asyncio.to_thread(lambda: [encode(episode) for episode in episodes])
        info = await asyncio.to_thread(self._store.session, request.session) if request.session else None
        return v1.ListEpisodesResponse(episodes=messages, plant=_plant(info) if info else None)

    async def ReadEpisode(
        self, request: v1.ReadEpisodeRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.ReadEpisodeResponse]:
        """Stream the transitions of one episode."""
        found = await asyncio.to_thread(self._store.transitions, request.session, request.episode)
        if not found:
            message = f"there is no episode {request.episode} of session {request.session!r}"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
        for start in range(0, len(found), CHUNK):
            chunk = [v1.Transition(**row._asdict()) for row in found[start : start + CHUNK]]
            yield v1.ReadEpisodeResponse(transitions=chunk)


def decode(request: v1.AppendRequest) -> tuple[SessionInfo, list[Transition]]:
    """Return what to store.

    Raises:
        ValueError: an unknown task, a plant that does not fit it, or a transition that is malformed.
    """
    message = request.session
    task = load_task(message.task)
    plant = message.plant
    offered = (tuple(plant.state_names), tuple(plant.action_names), plant.control_dt_s)
    needed = (task.state_names, task.action_names, task.control_dt)
    if not message.id or offered != needed:
        raise ValueError(
            f"plant {plant.name!r} does not fit task {task.name}: it offers {offered}; needed are {needed}"
        )
    info = SessionInfo(message.id, message.task, plant.name, *offered)
    return info, [_transition(row, len(offered[0]), len(offered[1])) for row in request.transitions]


def _transition(row: v1.Transition, n: int, m: int) -> Transition:
    sizes = {"x": (n,), "x_next": (n,), "u_applied": (m,), "u_requested": (0, m)}
    arrays = {name: np.asarray(getattr(row, name), np.float32) for name in sizes}
    for name, allowed in sizes.items():
        if arrays[name].size not in allowed:
            raise ValueError(
                f"transition {row.sequence}: {name} has {arrays[name].size} numbers; allowed: {allowed}"
            )
    if row.purpose not in (v1.PURPOSE_COLLECT, v1.PURPOSE_EVALUATE):
        raise ValueError(f"transition {row.sequence}: purpose must be collect or evaluate")
    scalars = {name: getattr(row, name) for name in Transition._fields if name not in sizes}
    return Transition(**arrays, **scalars)


def encode(episode: RecordedEpisode) -> v1.Episode:
    """Score an episode and return its message."""
    scored = score_episode(episode)
    return v1.Episode(
        session=episode.session,
        episode=episode.episode,
        purpose=v1.Purpose.Name(episode.purpose),
        steps=episode.u.shape[0],
        seconds=episode.u.shape[0] * episode.control_dt_s,
        cost=scored.cost,
        success=scored.success,
        terminated=episode.terminated,
        truncated=episode.truncated,
        policy_versions=episode.policy_versions,
        fallback_steps=episode.fallback_steps,
        first_sequence=episode.first_sequence,
    )


def _plant(info: SessionInfo) -> v1.PlantSpec:
    return v1.PlantSpec(
        name=info.plant,
        state_names=info.state_names,
        action_names=info.action_names,
        control_dt_s=info.control_dt_s,
    )
