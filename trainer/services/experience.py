"""ExperienceService: store transitions, acknowledge them after the commit, and list scored episodes.

The next batch of a stream is read after the last one is committed, and messages are bounded. So memory is
bounded by the number of streams; the spools of the clients hold the rest.
"""

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import grpc

from protos.hds import v1
from protos.operation.text import shortened
from protos.security.caller import caller
from trainer.services.episode_list import EpisodeList
from trainer.services.experience_messages import (
    Resolve,
    check_tag,
    decode_batch,
    decode_selection,
    encode_plant,
    encode_summary,
)
from trainer.services.group_commit import GroupCommit
from trainer.services.paging import paged, part
from trainer.services.plant_scores import PlantScores
from trainer.services.scoring import Scorer
from trainer.services.user_code import UserCodeLoader
from trainer.services.writers import Writers
from trainer.store.experience import ExperienceStore
from trainer.store.records import Batch, Selection, SequenceGap
from trainer.user_file import is_file

if TYPE_CHECKING:
    from trainer.tasks.task import Task

CHUNK = 500


class ExperienceService(v1.ExperienceServiceServicer):
    """gRPC service of the experience store. Database calls run in threads."""

    def __init__(
        self,
        store: ExperienceStore,
        trusts: Callable[[str], bool],
        score: Scorer,
        tasks: UserCodeLoader,
        resolve: Resolve,
    ) -> None:
        """Serve `store`; `trusts(task)` says whether an appended batch may load the file of its task."""
        self._store, self._tasks, self._resolve = store, tasks, resolve
        self._episodes = EpisodeList(store, score)
        self._trusts = trusts
        self._commits = GroupCommit(store)
        self._writers = Writers()
        self.scores = PlantScores(store, score)

    async def Append(
        self, request_iterator: AsyncIterator[v1.AppendRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.AppendResponse]:
        """Commit each batch, then acknowledge it. A rejected batch does not end the stream.

        A batch beyond the watermark is not stored; the response asks for what is missing. If the store is
        unavailable, the call ends with `UNAVAILABLE`. Nothing is acknowledged before it is stored.
        """
        with self._writers.stream() as stream:
            async for request in request_iterator:
                session = request.session.id
                if why := stream.reserve(session, request.writer):
                    await context.abort(grpc.StatusCode.ABORTED, why)
                try:
                    task = await self._task(request.session.task)
                    result = await self._commits.append(Batch(*decode_batch(request, task), caller()))
                except ValueError as error:
                    result = error
                if isinstance(result, int):
                    yield v1.AppendResponse(session=session, next_sequence=result)
                    continue
                watermark = await asyncio.to_thread(self._store.watermark, session)
                kind = "gap" if isinstance(result, SequenceGap) else "refusal"
                told = shortened(str(result))
                yield v1.AppendResponse(session=session, next_sequence=watermark, **{kind: told})

    async def GetWatermark(
        self, request: v1.GetWatermarkRequest, context: grpc.aio.ServicerContext
    ) -> v1.GetWatermarkResponse:
        """Return the watermark of a session."""
        del context
        watermark = await asyncio.to_thread(self._store.watermark, request.session)
        return v1.GetWatermarkResponse(next_sequence=watermark)

    async def ListEpisodes(
        self, request: v1.ListEpisodesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListEpisodesResponse:
        """List episodes with their scores."""
        wanted = await self._selection(request.selection, context)
        sessions = (request.session,) if request.session else wanted.sessions
        purpose = request.purpose or wanted.purpose
        wanted = dataclasses.replace(wanted, sessions=sessions, purpose=purpose)

        async def fetch(token: str, limit: int) -> tuple[list[v1.Episode], str]:
            return await asyncio.to_thread(self._episodes.page, wanted, token, limit)

        messages, token = await paged(request, context, fetch)
        info = await asyncio.to_thread(self._store.session, request.session) if request.session else None
        return v1.ListEpisodesResponse(
            episodes=messages, plant=encode_plant(info) if info else None, next_page_token=token
        )

    async def _task(self, name: str) -> "Task":
        """Return the task of a batch.

        Raises:
            ValueError: there is none, or it is a file that no job of an authorised caller has used.
        """
        if is_file(name) and not self._trusts(name):
            raise ValueError(
                f"task {name!r} is a file on the trainer's machine, and no job was started with it; start "
                "one, which needs the right of administration ('hds-trainer train --task')"
            )
        return await self._tasks.load(name)

    async def ScorePolicies(
        self, request: v1.ScorePoliciesRequest, context: grpc.aio.ServicerContext
    ) -> v1.ScorePoliciesResponse:
        """Return the scores of policies on the plant."""
        wanted = await self._selection(request.selection, context)
        records = list((await asyncio.to_thread(self.scores.of, wanted)).values())

        async def fetch(token: str, limit: int) -> tuple[list[v1.PolicyScore], str]:
            some, following = part(records, token, limit)
            return await asyncio.to_thread(lambda: [record.message for record in some]), following

        scores, token = await paged(request, context, fetch)
        return v1.ScorePoliciesResponse(scores=scores, next_page_token=token)

    async def ListSessions(
        self, request: v1.ListSessionsRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListSessionsResponse:
        """List sessions with their numbers of episodes and steps."""
        wanted = await self._selection(request.selection, context)

        async def fetch(token: str, limit: int) -> tuple[list[v1.SessionSummary], str]:
            return await asyncio.to_thread(self._sessions, wanted, token, limit)

        found, token = await paged(request, context, fetch)
        return v1.ListSessionsResponse(sessions=found, next_page_token=token)

    def _sessions(self, wanted: Selection, token: str, limit: int) -> tuple[list[v1.SessionSummary], str]:
        """Return a page of sessions."""
        begun, _, name = token.partition(":")
        found = self._store.sessions(wanted, (int(begun), name) if token else None, limit)
        last = found[-1] if len(found) == limit else None
        following = f"{last.begun_ns}:{last.session.id}" if last else ""
        return [encode_summary(summary) for summary in found], following

    async def TagSession(
        self, request: v1.TagSessionRequest, context: grpc.aio.ServicerContext
    ) -> v1.TagSessionResponse:
        """Add a tag."""
        try:
            check_tag(request.tag)
            await asyncio.to_thread(self._store.tag, request.session, request.tag)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
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
        read = functools.partial(self._store.transitions, request.session, request.episode)
        first = 0
        while found := await asyncio.to_thread(read, first, CHUNK):
            first = found[-1].sequence + 1
            yield v1.ReadEpisodeResponse(transitions=[v1.Transition(**row._asdict()) for row in found])
        if not first:
            message = f"there is no episode {request.episode} of session {shortened(request.session, 80)!r}"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)

    async def _selection(self, message: v1.Selection, context: grpc.aio.ServicerContext) -> Selection:
        try:
            return await asyncio.to_thread(decode_selection, message, self._resolve)
        except (ValueError, LookupError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, shortened(str(error.args[0])))
