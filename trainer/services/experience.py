"""ExperienceService: real transitions in, acknowledged after commit; episodes out, scored.

A stream's next batch is read when its last one is committed, and messages are bounded, so what waits in
memory is bounded by the number of streams; the senders' spools hold the rest.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

import grpc

from protos.hds import v1
from trainer.services.experience_messages import (
    decode,
    decode_selection,
    encode_episode,
    encode_plant,
    encode_summary,
)
from trainer.services.group_commit import GroupCommit
from trainer.services.plant_scores import plant_records
from trainer.services.scoring import Scorer
from trainer.store.experience import ExperienceStore
from trainer.store.records import Batch, Selection, SequenceGap
from trainer.tasks import is_file, load_task

CHUNK = 500


class ExperienceService(v1.ExperienceServiceServicer):
    """The durable record behind gRPC; database calls run beside the event loop."""

    def __init__(self, store: ExperienceStore, trusts: Callable[[str], bool], score: Scorer) -> None:
        """Serve `store`; `trusts(task)` says whether whoever appends may have a task's file loaded."""
        self._store, self._score = store, score
        self._trusts = trusts
        self._commits = GroupCommit(store)
        self._loaded: set[str] = set()

    async def Append(
        self, request_iterator: AsyncIterator[v1.AppendRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.AppendResponse]:
        """Commit each batch, then acknowledge it; a refused one does not end the stream.

        A batch beyond the watermark is not stored, and asked for again from the watermark on. A store that
        takes nothing ends the call with `UNAVAILABLE`: nothing is acknowledged that is not stored.
        """
        del context
        async for request in request_iterator:
            session = request.session.id
            try:
                await self._load(request.session.task)
                result = await self._commits.append(Batch(*decode(request)))
            except ValueError as error:
                result = error
            if isinstance(result, int):
                yield v1.AppendResponse(session=session, next_sequence=result)
                continue
            watermark = await asyncio.to_thread(self._store.watermark, session)
            kind = "gap" if isinstance(result, SequenceGap) else "refusal"
            yield v1.AppendResponse(session=session, next_sequence=watermark, **{kind: str(result)})

    async def GetWatermark(
        self, request: v1.GetWatermarkRequest, context: grpc.aio.ServicerContext
    ) -> v1.GetWatermarkResponse:
        """Say how much of a session is stored."""
        del context
        watermark = await asyncio.to_thread(self._store.watermark, request.session)
        return v1.GetWatermarkResponse(next_sequence=watermark)

    async def ListEpisodes(
        self, request: v1.ListEpisodesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListEpisodesResponse:
        """List episodes with their scores."""
        wanted = await _selection(request.selection, context)
        sessions = (request.session,) if request.session else wanted.sessions
        purpose = request.purpose or wanted.purpose
        wanted = dataclasses.replace(wanted, sessions=sessions, purpose=purpose)
        messages: list[v1.Episode] = []
        for summary in await asyncio.to_thread(self._store.sessions, wanted):  # one in memory at a time
            one = dataclasses.replace(wanted, sessions=(summary.session.id,))
            messages += await asyncio.to_thread(self._scored, one)
        info = await asyncio.to_thread(self._store.session, request.session) if request.session else None
        return v1.ListEpisodesResponse(episodes=messages, plant=encode_plant(info) if info else None)

    async def _load(self, task: str) -> None:
        """Load a task beside the event loop, which every later batch then finds.

        Raises:
            ValueError: there is none of that name, or it is a file that nobody with the right to has named.
        """
        if is_file(task) and not self._trusts(task):
            raise ValueError(
                f"task {task!r} is a file on the trainer's machine, and no job was started with it; start "
                "one, which needs the right of administration ('hds-trainer train --task')"
            )
        if task not in self._loaded:
            await asyncio.to_thread(load_task, task)
        if not is_file(task):  # a file may change
            self._loaded.add(task)

    def _scored(self, wanted: Selection) -> list[v1.Episode]:
        return [encode_episode(episode, self._score(episode)) for episode in self._store.episodes(wanted)]

    async def ScorePolicies(
        self, request: v1.ScorePoliciesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ScorePoliciesResponse:
        """Say what policies did on the plant."""
        wanted = await _selection(request.selection, context)
        records = await asyncio.to_thread(plant_records, self._store, self._score, wanted)
        scores = [await asyncio.to_thread(record.message) for record in records.values()]
        return v1.ScorePoliciesResponse(scores=scores)

    async def ListSessions(
        self, request: v1.ListSessionsRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListSessionsResponse:
        """List sessions with what is stored of them."""
        wanted = await _selection(request.selection, context)
        found = await asyncio.to_thread(self._store.sessions, wanted)
        return v1.ListSessionsResponse(sessions=[encode_summary(summary) for summary in found])

    async def TagSession(
        self, request: v1.TagSessionRequest, context: grpc.aio.ServicerContext
    ) -> v1.TagSessionResponse:
        """Add a tag."""
        if not request.tag.strip():
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a tag must not be empty")
        try:
            await asyncio.to_thread(self._store.tag, request.session, request.tag)
        except LookupError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error.args[0]))
        return v1.TagSessionResponse()

    async def ForgetSessions(
        self, request: v1.ForgetSessionsRequest, context: grpc.aio.ServicerContext
    ) -> v1.ForgetSessionsResponse:
        """Delete the transitions of sessions."""
        try:
            deleted = await asyncio.to_thread(self._store.forget, request.sessions)
        except LookupError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error.args[0]))
        return v1.ForgetSessionsResponse(deleted=deleted)

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


async def _selection(message: v1.Selection, context: grpc.aio.ServicerContext) -> Selection:
    try:
        return decode_selection(message)
    except ValueError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
